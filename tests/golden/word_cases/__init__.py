"""What is found by what: a stored text, a text asked for, whether that finds it, and why. Data, by kind."""

from __future__ import annotations

from collections.abc import Mapping

from tests.golden.word_cases import accents, apostrophes, digits, letters, numbers, runs, telling_apart, unseen
from tests.golden.word_cases.case import Case

KINDS: Mapping[str, tuple[Case, ...]] = {
    "unseen": unseen.CASES,
    "accents": accents.CASES,
    "letters": letters.CASES,
    "telling apart": telling_apart.CASES,
    "runs": runs.CASES,
    "apostrophes": apostrophes.CASES,
    "digits": digits.CASES,
    "numbers": numbers.CASES,
}
