"""Percent-encodes texts of the outbox as header values, as CloudEvents' binary mode requires.

Encoded are the space, the double quote, the percent sign and everything outside U+0021 to U+007E, byte by byte of its
UTF-8. So a value keeps its outer blanks, and decoding it once gives the recorded text.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

#: Printable ASCII that stands for itself.
_PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
#: Finds nothing in most texts, at the price of looking at them once.
needs_encoding = re.compile(r"[^!#$&-~]").search


def encode(text: str) -> str:
    """Returns the header value of a text."""
    return quote(text, safe=_PLAIN) if needs_encoding(text) else text


def decode(value: str) -> str:
    """Returns the text of a header value; what is no encoded byte stays unchanged."""
    return unquote(value) if "%" in value else value
