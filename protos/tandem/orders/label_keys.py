"""Says how the keys of labels are written: as in Kubernetes, `name` or `prefix/name`."""

from __future__ import annotations

import re

MAX_LABELS = 32
MAX_NAME_LENGTH, MAX_PREFIX_LENGTH, MAX_VALUE_LENGTH = 63, 253, 256
#: How a key is written, in words.
FORM = (
    "`name` or `prefix/name`: a name of 1 to 63 letters, digits, `-`, `_` and `.` that begins and ends with a letter or"
    " digit, and a DNS name in lower case of at most 253 characters"
)
_NAME = re.compile(rf"[A-Za-z0-9]([A-Za-z0-9._-]{{0,{MAX_NAME_LENGTH - 2}}}[A-Za-z0-9])?")
_PART = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PREFIX = re.compile(rf"{_PART}(\.{_PART})*")


def is_label_key(text: str) -> bool:
    """Returns whether the text is a label's key."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (len(prefix) <= MAX_PREFIX_LENGTH and _PREFIX.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None
