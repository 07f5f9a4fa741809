"""What somebody types who has a number in hand: an order number, an id, a reference of a payment, a tracking number.

Two writings of one number have the same key: case, blanks and punctuation do not count. Unlike words it is compared as
a whole, so it finds what cannot be cut into words, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata

_PUNCTUATION = re.compile("[^0-9a-z]+")


def lookup_key(text: str) -> str:
    """The letters and digits of `text`, in lower case; "" when it has none."""
    if text.isascii():
        return _PUNCTUATION.sub("", text.lower())
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(_digit(character) for character in plain if character.isalnum())


def _digit(character: str) -> str:
    return str(int(character)) if character.isdecimal() else character
