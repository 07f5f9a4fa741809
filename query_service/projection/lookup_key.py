"""Computes the key of a number that people type: an order number, an id, a payment reference, a tracking number.

Two spellings of one number have the same key: case, blanks and punctuation do not count. Unlike words it is compared as
a whole, so it also finds what cannot be split into words, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata

from query_service.projection.words.scripts import UNSEEN

_PUNCTUATION = re.compile("[^0-9a-z]+")
_UNSEEN = re.compile(f"[{UNSEEN}]+")


def lookup_key(text: str) -> str:
    """Returns the letters, with their marks, and digits of `text`, in lower case; "" if it has none."""
    if text.isascii():
        return _PUNCTUATION.sub("", text.lower())
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold())
    key, in_word = "", False
    for character in plain:
        # A mark on a letter tells words apart, as vowels of many scripts do.
        in_word = character.isalnum() or (in_word and unicodedata.category(character) in ("Mn", "Mc"))
        if in_word:
            key += _digit(character)
    return key


def _digit(character: str) -> str:
    return str(int(character)) if character.isdecimal() else character
