"""Computes the lookup key of an order number, an id, a payment reference or a tracking number that people type.

Two spellings of the same number have the same key, because case, blanks and punctuation are ignored. Keys are compared
as a whole, unlike words. So a key also finds a number that cannot be split into words, and finds nothing else.
"""

from __future__ import annotations

import re
import string
import unicodedata

from query_service.projection.words.scripts import UNSEEN

_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum())
_UNSEEN = re.compile(f"[{UNSEEN}]+")


def lookup_key(text: str) -> str:
    """Returns the letters (with their marks) and digits of `text` in lower case; "" when it has none."""
    if text.isascii():
        return text.encode().translate(_LOWER, _PUNCTUATION).decode()
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold())
    key, in_word = "", False
    for character in plain:
        # Keep a mark on a letter: in many scripts marks are vowels, which distinguish words.
        in_word = character.isalnum() or (in_word and unicodedata.category(character) in ("Mn", "Mc"))
        if in_word:
            key += _digit(character)
    return key


def _digit(character: str) -> str:
    return str(int(character)) if character.isdecimal() else character
