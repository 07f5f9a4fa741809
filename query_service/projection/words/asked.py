"""Turns a search text into conditions. A condition is a prefix, and a word of the order must begin with it.

Parts of a word may be stored together or apart, so a condition has both spellings as alternatives. `ABC-123`, `abc 123`
and `abc123` find the same orders, and so do `O'Neil` and `oneil`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from query_service.projection.words import runs
from query_service.projection.words.folding import MAX_WORD_LENGTH, chains, parts_of
from query_service.projection.words.letters import JOINT
from query_service.projection.words.phones import numbers_in, readable

#: Conditions. Each is a tuple of alternative prefixes, and a word must begin with one of them.
AskedWords = tuple[tuple[str, ...], ...]
#: The most spellings of a condition: parts joined from the first one on, and from each of the latest ones on.
MOST_TOGETHER = 6
_BETWEEN_PARTS = re.compile(r"(?<=\S)[-_/.\u2010-\u2015\u2212](?=\S)")
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True)
class _Part:
    """A word or a part of one. `linked`: it may be stored together with the part before."""

    word: str
    linked: bool


def asked_words(text: str) -> AskedWords:
    """Returns the conditions of a search text; none when it has neither letters nor digits."""
    conditions: list[tuple[str, ...]] = []
    text, end = readable(text), 0
    for start, number_end, kept in numbers_in(text):
        conditions += _conditions(text[end:start])
        conditions += [(*condition, *kept) for condition in _conditions(text[start:number_end])]
        end = number_end
    conditions += _conditions(text[end:])
    return tuple(dict.fromkeys(tuple(dict.fromkeys(condition)) for condition in conditions))


def begins_words(words: list[str], asked: AskedWords) -> bool:
    """Returns whether the stored words of an order meet all conditions."""
    return all(any(word.startswith(alternatives) for word in words) for alternatives in asked)


def _conditions(text: str) -> Iterator[tuple[str, ...]]:
    together: list[str] = []
    for part in _parts(text):
        if not part.linked:
            together = []
        together = [*(word + part.word for word in together), part.word]
        if len(together) > MOST_TOGETHER:
            del together[1]  # keep index 0: joined from the first part on, it may be a whole code
        yield tuple(word[:MAX_WORD_LENGTH] for word in reversed(together))


def _parts(text: str) -> Iterator[_Part]:
    before = ""
    for chain in chains(_BETWEEN_PARTS.sub(JOINT, text)).split():
        for number, part in enumerate(parts_of(chain)):
            for place, word in enumerate(runs.split(part)):
                if place % 2:
                    yield from (_Part(piece, linked=False) for piece in runs.asked_pieces(word))
                    before = ""
                elif word:
                    digits = bool(before) and bool(_DIGIT.search(before + word))
                    yield _Part(word, linked=bool(before) and (number > 0 or digits))
                    before = word
