"""Texts of the outbox as values of message headers, percent-encoded as CloudEvents' binary mode demands.

Encoded are the space, the double quote, the percent sign and everything outside U+0021 to U+007E, byte by byte of its
UTF-8. So a value keeps its outer blanks, and whoever decodes it once has the text as it was recorded.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

#: Printable ASCII that stands for itself.
_PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
#: Finds nothing in most texts, at the price of looking at them once.
needs_encoding = re.compile(r"[^!#$&-~]").search


def encode(text: str) -> str:
    """The header value of a text."""
    return quote(text, safe=_PLAIN) if needs_encoding(text) else text


def decode(value: str) -> str:
    """The text of a header value; what is no encoded byte stands for itself."""
    return unquote(value) if "%" in value else value
