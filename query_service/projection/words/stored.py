"""Returns the words of an order that are stored for searches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from query_service.projection.words import runs
from query_service.projection.words.folding import MAX_WORD_LENGTH, chains, code_chains, parts_of
from query_service.projection.words.letters import JOINT
from query_service.projection.words.phones import stored_numbers

#: Products of which the words are remembered. A name has at most 200 characters.
_REMEMBERED = 10_000
_LETTER = re.compile(r"[^\W\d_]")


def search_text(
    texts: Iterable[str],
    codes: Iterable[str] = (),
    phones: Iterable[str] = (),
    *,
    common_texts: Iterable[str] = (),
    common_codes: Iterable[str] = (),
) -> str:
    """Returns every distinct folded word, in order of first appearance, separated by spaces.

    `codes` are numbers and names that people copy or type. Each is one word, whatever separates its parts. The words of
    `common_texts` and `common_codes` are remembered, because many orders have them; so they must not be personal data.
    """
    words = list[str]()
    for code in common_codes:
        words += _common_code(code)
    for text in common_texts:
        words += _common_text(text)
    words += _kept(code_chains(codes))
    for phone in filter(None, phones):
        words += stored_numbers(phone)
        if _LETTER.search(phone):
            words += [word for word in _kept(code_chains([phone])) if not word.isdecimal()]
    words += _kept(chains(" ".join(texts)))
    return " ".join(dict.fromkeys(words))


@lru_cache(maxsize=_REMEMBERED)
def _common_code(code: str) -> list[str]:
    return _kept(code_chains([code]))


@lru_cache(maxsize=_REMEMBERED)
def _common_text(text: str) -> list[str]:
    return _kept(chains(text))


def code_words(code: str) -> list[str]:
    """Returns the stored words of one code."""
    return list(dict.fromkeys(_kept(code_chains([code]))))


def _kept(chained: str) -> list[str]:
    words = chained.split()
    # Most words need none of these steps. The speed of projection depends on skipping them.
    if JOINT in chained:
        found = words
        words = []
        for chain in found:
            words += _whole_and_parts(chain) if JOINT in chain else [chain]
    if not chained.isascii():
        words = [part for word in words for part in ([word] if word.isascii() else runs.stored_parts(word))]
    if len(chained) > MAX_WORD_LENGTH and max(map(len, words), default=0) > MAX_WORD_LENGTH:
        words = [word[:MAX_WORD_LENGTH] for word in words]
    return words


def _whole_and_parts(chain: str) -> list[str]:
    """Returns the chain without joints, and each part but the first, which is its prefix; nothing for joints only."""
    parts = parts_of(chain)
    return ["".join(parts), *parts[1:]] if parts else parts
