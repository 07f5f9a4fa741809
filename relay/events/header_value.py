"""Percent-encodes texts of the outbox as header values, as CloudEvents' binary mode requires.

The space, the double quote, the percent sign and every character outside U+0021 to U+007E are encoded, each as the
bytes of its UTF-8 form. So a value keeps its outer blanks, and decoding it once gives the recorded text.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

#: The printable ASCII characters, other than letters and digits, that are not encoded.
_PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
#: Searches for a character that must be encoded. For most texts this search is the whole cost.
needs_encoding = re.compile(r"[^!#$&-~]").search


def encode(text: str) -> str:
    """Returns the header value of a text."""
    return quote(text, safe=_PLAIN) if needs_encoding(text) else text


def decode(value: str) -> str:
    """Returns the text of a header value. Characters that are no encoded byte stay unchanged."""
    return unquote(value) if "%" in value else value
