"""Text as people search it: lower case, without accents, cut into words.

The same folding is applied to documents when they are projected and to what a caller types, so any store that can
look up words and prefixes of words gives the same answer, and none needs an analyser of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Letters that Unicode does not decompose.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h", "ŋ": "n"}
)
_OTHER_LETTERS = re.compile("[^\x00-\x7f]+")
#: Longer words are cut; both sides of a search are cut alike.
MAX_WORD_LENGTH = 64
#: More than the letters that people write; nobody fills our memory with the others.
MOST_REMEMBERED = 20_000


class _Folded(dict[int, str]):
    """Character → what it becomes, found when it is met first: no letter's folding depends on its neighbours."""

    def __missing__(self, codepoint: int) -> str:
        folded = _folded(chr(codepoint))
        if len(self) < MOST_REMEMBERED:
            self[codepoint] = folded
        return folded


def fold(text: str) -> list[str]:
    """The words of `text` in their order, folded; letters, digits and vowel signs only."""
    if not text.isascii():
        text = _OTHER_LETTERS.sub(_folded_letters, text)
    # Often nothing but ASCII is left, which is read many times faster.
    return [word[:MAX_WORD_LENGTH] for word in text.translate(_ASCII if text.isascii() else _FOLDED).split()]


def _folded_letters(found: re.Match[str]) -> str:
    return found[0].translate(_FOLDED)


def _folded(text: str) -> str:
    lowered = text.casefold().translate(_LETTERS)
    decomposed = unicodedata.normalize("NFKD", lowered)
    # Folding twice gives the same: compatibility forms may decompose into capitals or into letters of the table.
    decomposed = unicodedata.normalize("NFKD", decomposed.casefold().translate(_LETTERS))
    return "".join(map(_word_part, decomposed))


def _word_part(character: str) -> str:
    if unicodedata.combining(character):
        return ""  # an accent
    # Vowel signs of Indic scripts are marks too, but not accents: the word needs them.
    return character if character.isalnum() or unicodedata.category(character).startswith("M") else " "


_FOLDED = _Folded()
_ASCII = {codepoint: _folded(chr(codepoint)) for codepoint in range(128)}


def search_text(parts: Iterable[str]) -> str:
    """Every distinct word of `parts`, in order of first appearance, separated by spaces."""
    return " ".join(dict.fromkeys(fold(" ".join(parts))))
