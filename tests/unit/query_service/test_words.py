"""The table of what finds what, on the functions alone; each part of them is missed when it is gone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import pytest

from query_service.projection.words import asked, folding, letters, phones, runs, stored
from query_service.projection.words.asked import asked_words, begins_words
from tests.golden.word_cases import KINDS

NOTHING = re.compile("(?!)")


def wrong(kind: str) -> list[str]:
    """The cases of a kind that do not hold."""
    return [
        str(case) for case in KINDS[kind] if begins_words(case.kept.split(), asked_words(case.asked)) is not case.found
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_finds_what_it_should(kind: str) -> None:
    assert wrong(kind) == []


def _remember_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "_FOLDED", letters._Folded())
    monkeypatch.setattr(letters, "_FOLDED_LETTERS", letters._FoldedLetters())


def _every_mark_is_an_accent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(letters, "_ACCENTED", re.compile(r"[^\w ']+"))
    patch.setattr(letters, "_ACCENTS", re.compile(".+"))


def _letters_stay_decomposed(patch: pytest.MonkeyPatch) -> None:
    normalize = unicodedata.normalize
    patch.setattr(letters, "PLAIN_RUN", NOTHING)
    patch.setattr(unicodedata, "normalize", lambda _, text: normalize("NFKD", text))


def _without(module: object, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, value)


MUTANTS: Mapping[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "what is not seen cuts": ("unseen", _without(letters, "_UNSEEN", NOTHING)),
    "the non-joiner is nothing in Persian": ("unseen", _without(letters, "_JOINING_NON_JOINER", NOTHING)),
    "letters with nukta are composed of two": ("telling apart", _without(letters, "_MARKED_LETTER", NOTHING)),
    "am is kept as typed": ("letters", _without(letters, "_AM_AND_TONE", NOTHING)),
    "accents stay": ("accents", _without(letters, "_ACCENTS", NOTHING)),
    "letters have no variants": ("letters", _without(letters, "_NAME_OF_VARIANT", NOTHING)),
    "only Unicode knows letters": ("letters", _without(letters, "_LETTERS", {})),
    "every mark is an accent": ("telling apart", _every_mark_is_an_accent),
    "letters stay decomposed": ("telling apart", _letters_stay_decomposed),
    "runs are words": ("runs", _without(runs, "stored_parts", lambda word: [word])),
    "marks are letters": ("runs", _without(runs, "_MARK", NOTHING)),
    "apostrophes cut": ("apostrophes", _without(letters, "_JOINTS", NOTHING)),
    "chains are kept in parts": ("apostrophes", _without(stored, "_whole_and_parts", folding.parts_of)),
    "other digits are letters": ("digits", _without(unicodedata, "digit", lambda *_: None)),
    "codes are kept in parts": ("numbers", _without(stored, "_whole_and_parts", folding.parts_of)),
    "phone numbers are words": ("numbers", _without(stored, "stored_numbers", folding.fold)),
    "numbers are asked for as typed": ("numbers", _without(asked, "numbers_in", lambda _: ())),
    "what was typed apart is apart": ("numbers", _without(asked, "MOST_TOGETHER", 1)),
    "what is not seen cuts numbers": ("unseen", _without(phones, "_UNSEEN", NOTHING)),
    "an idle non-joiner cuts numbers": ("unseen", _without(phones, "_IDLE_NON_JOINER", NOTHING)),
    "gershayim cut": ("apostrophes", _without(folding, "_GERSHAYIM", NOTHING)),
    "numbers have no letters": ("numbers", _without(stored, "_LETTER", NOTHING)),
    "calling codes have three digits": ("numbers", _without(phones, "_TWO_DIGITS", NOTHING)),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_part_that_is_gone_is_missed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutants."""
    kind, mutate = MUTANTS[mutant]
    _remember_nothing(monkeypatch)
    mutate(monkeypatch)
    assert wrong(kind) != []
