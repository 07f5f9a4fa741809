"""Resume tokens: what they say, what is refused, and the token of a list."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.application.ports.errors import (
    ResumeTokenMalformed,
)
from query_service.application.ports.read_store import Freshness
from query_service.application.watching.list_marks import ListMarks
from query_service.application.watching.resume_token import MOST_OWED, ResumePoint, read_resume_token
from tests.support.queries.watch_world import CREATED
from tests.support.source_mutants import Mutant, noticed


@given(st.integers(0, 2**60), st.integers(1, 2**60), st.sets(st.integers(1, 2**60), max_size=MOST_OWED))
def test_a_token_gives_its_point_back(created: int, position: int, owed: set[int]) -> None:
    point = ResumePoint(created, position, tuple(sorted(min(sequence, position) for sequence in owed)))
    point = replace(point, owed=tuple(sorted(set(point.owed))))
    assert read_resume_token(point.token()) == point


@given(st.data())
def test_a_damaged_token_is_refused(data: st.DataObject) -> None:
    token = ResumePoint(CREATED, 1234, (5, 17)).token()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_.=é "))
    damaged = token[:place] + letter + token[place + 1 :]
    if damaged != token and damaged[:-1] != token[:-1]:  # the last letter has bits that mean nothing
        with pytest.raises(ResumeTokenMalformed):
            read_resume_token(damaged)


@pytest.mark.parametrize("token", ["x", "w1.", "w2.AAAA", "w1." + "A" * 5000])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ResumeTokenMalformed):
        read_resume_token(token)


def test_a_token_with_too_much_owed_goes_back_and_repeats_rather_than_misses() -> None:
    owed = tuple(range(10, 10 + MOST_OWED + 5))
    point = read_resume_token(ResumePoint(CREATED, 1000, owed).token())
    assert point == ResumePoint(CREATED, owed[MOST_OWED] - 1, owed[:MOST_OWED])


def test_a_list_is_continued_from_what_is_searchable_and_owes_what_is_parked() -> None:
    marks = ListMarks()
    known = Freshness(50, 1, "g1", CREATED, 50)
    assert marks.token(known) == ""
    marks.observe(known, [60, 20])
    assert read_resume_token(marks.token(replace(known, sequence=90))) == ResumePoint(CREATED, 50, (20,))
    assert read_resume_token(marks.token(replace(known, sequence=10))) == ResumePoint(CREATED, 10)
    assert marks.token(replace(known, stream_created_at=CREATED + 1)) == ""
    assert marks.token(None) == ""


def parked_later() -> None:
    """A list that is as fresh as one before owes a change that was parked since."""
    marks, known = ListMarks(), Freshness(50, 1, "g1", CREATED, 50)
    marks.observe(known, [])
    assert read_resume_token(marks.token(known)) == ResumePoint(CREATED, 50)
    marks.observe(known, [20])
    assert read_resume_token(marks.token(known)) == ResumePoint(CREATED, 50, (20,))
    assert marks.token(known) == marks.token(known)


def test_a_token_that_was_made_before_is_not_given_once_something_is_parked() -> None:
    parked_later()


@pytest.mark.mutant
def test_a_token_that_is_kept_for_too_long_is_noticed() -> None:
    with noticed(Mutant(ListMarks.observe, 'self._last = None, ""', "pass")):
        parked_later()
