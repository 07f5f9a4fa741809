"""Splits runs (letters of scripts without spaces) into pieces, so that a search finds any part of a run.

Without spaces only a dictionary knows where a word begins. So a piece of up to three letters is stored from every
letter on. A search for a longer text looks for all its pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from query_service.projection.words.folding import MAX_WORD_LENGTH
from query_service.projection.words.letters import PLAIN_RUN
from query_service.projection.words.scripts import ACCENTS, UNSPACED

#: Letters in a piece. A search for up to three is exact. A longer one also finds texts with its pieces apart.
PIECE = 3
#: Vowels, tones and other marks that belong to the preceding letter.
_MARKS = (
    f"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064"
    f"\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d\u17b6-\u17d3\u17dd\u302a-\u302f\u3099\u309a"
    f"\ua9e5\uaa7b-\uaa7d\U00016ff0\U00016ff1{ACCENTS}"
)
_RUN = re.compile(f"([{UNSPACED}][{UNSPACED}{ACCENTS}]*)")
_MARK = re.compile(f"[{_MARKS}]")
_LETTER = re.compile(f"[^{_MARKS}][{_MARKS}]*|[{_MARKS}]+")


def split(word: str) -> list[str]:
    """Splits a word where a run begins or ends. Items at odd indices are runs; the others may be empty."""
    return [word] if word.isascii() else _RUN.split(word)


def stored_parts(word: str) -> list[str]:
    """Returns what is stored for a word: the pieces of its runs, and its other parts unchanged.

    A run has a piece from each letter on. The last pieces are shorter.
    """
    if PLAIN_RUN.fullmatch(word):
        return [word[start : start + PIECE] for start in range(len(word))]
    kept: list[str] = []
    for place, part in enumerate(split(word)):
        if place % 2:
            letters = _letters(part)
            kept += ["".join(letters[start : start + PIECE]) for start in range(len(letters))]
        elif part:
            kept.append(part)
    return kept


def asked_pieces(run: str) -> list[str]:
    """Returns the prefixes of stored pieces that a search for this run requires."""
    letters = _letters(run)
    starts = range(max(1, len(letters) - PIECE + 1))
    return ["".join(letters[start : start + PIECE])[:MAX_WORD_LENGTH] for start in starts]


def _letters(run: str) -> Sequence[str]:
    return _LETTER.findall(run) if _MARK.search(run) else run
