"""The cursor's text forms: long, anchored in a barrier, complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events import cursor
from relay.events.cursor import END, CursorError, PollCursor, anchor_of, anchored, in_body, mark, parse, resolve
from relay.events.snapshot import Snapshot
from tests.unit.relay.test_snapshot import snapshots

positions = st.integers(0, 1 << 62)


@given(st.integers(0, 1 << 31), st.none() | snapshots(), snapshots(), positions)
def test_round_trip_within_a_difference(epoch: int, seen: Snapshot | None, upto: Snapshot, position: int) -> None:
    here = PollCursor(epoch, seen, upto, position)
    assert parse(here.text) == here
    assert parse(mark(here.base, str(position))) == here
    assert parse(mark(here.base, END)) == PollCursor(epoch, upto)


@given(st.integers(0, 1 << 31), st.none() | snapshots())
def test_round_trip_between_differences(epoch: int, seen: Snapshot | None) -> None:
    assert parse(PollCursor(epoch, seen).text) == PollCursor(epoch, seen)


@given(snapshots(), snapshots(), positions, st.integers(1, 1 << 60))
def test_anchored_text_resolves_to_the_long_one(seen: Snapshot, upto: Snapshot, position: int, sequence: int) -> None:
    here = PollCursor(7, seen, upto, position)
    barrier_body = mark(here.base, "0")
    short = mark(anchored(sequence), str(position))
    assert anchor_of(short) == sequence
    assert len(short) < 64
    assert parse(resolve(short, barrier_body)) == here
    assert anchor_of(mark(in_body(here.base), "0")) == cursor.IN_BODY
    assert anchor_of(here.text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "x;poll;;1:2:;end",
        "1;wal;0/1;0;1:2:",
        "1;poll;;;5",
        "1;poll;1:2:;;5",
        "1;poll;1:2:;3:4:;",
        "1;poll;1:2:;3:4:;-1",
        "1;poll;1:2:;3:4:;1;2",
        "1;poll;@5;7",
        "@5;7",
        "1;poll;1:2:;nonsense;7",
    ],
)
def test_refuses_what_it_cannot_resume(text: str) -> None:
    with pytest.raises(CursorError):
        parse(text)
