"""Loss or age: what the remembered row and the stream's end say together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relay.events.cursor import Cursor, PollCursor, parse
from relay.events.snapshot import Snapshot
from relay.events.tail import Orphan, Tail
from relay.publishing.state import StateRow, _completed, resumption
from tests.support.source_mutants import Mutant, noticed

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CURSOR = PollCursor(1, Snapshot(5, 6))
OLD = PollCursor(1, Snapshot(3, 4))


BASE = "1;wal;slot;p;0/10;5:6:;"
BEHIND = parse(f"{BASE};0/20:1:9:1")


def orphaned(last: int, barrier: int, text: str = "0/30:2:9:4") -> Tail:
    return replace(tail(last, None), orphan=Orphan(f"@{barrier};{text}", barrier))


def test_a_message_whose_barrier_aged_out_takes_the_base_from_the_row() -> None:
    found = resumption(row(10, BEHIND), orphaned(12, 10))
    assert (found.cursor, found.loss) == (parse(f"{BASE};0/30:2:9:4"), None)


def test_a_row_from_before_that_barrier_has_another_base() -> None:
    for found in (resumption(row(9, BEHIND), orphaned(12, 10)), resumption(row(10, None), orphaned(12, 10))):
        assert found.cursor in (BEHIND, None)
    assert resumption(row(10, CURSOR), orphaned(12, 10)).cursor == CURSOR  # a mark of another mode fits no base


@pytest.mark.mutant
def test_mutant_that_takes_the_base_of_an_older_row_is_noticed() -> None:
    older = Mutant(_completed, "row.last_sequence < orphan.barrier", "False")
    with noticed(older):
        test_a_row_from_before_that_barrier_has_another_base()


def tail(last: int, cursor: PollCursor | None = CURSOR, created: datetime = CREATED) -> Tail:
    return Tail(created, last, last, 1, cursor, None)


def row(last: int, cursor: Cursor | None = OLD) -> StateRow:
    return StateRow(CREATED, 3, last, cursor)


def test_the_stream_knows_better_than_the_row() -> None:
    assert resumption(row(10), tail(20)) == resumption(row(20), tail(20))
    found = resumption(row(10), tail(20))
    assert (found.cursor, found.publish_epoch, found.loss) == (CURSOR, 3, None)


def test_a_first_start() -> None:
    found = resumption(None, tail(0, None))
    assert (found.cursor, found.publish_epoch, found.loss) == (None, 1, None)


def test_a_stream_emptied_by_age_goes_on_from_the_row() -> None:
    found = resumption(row(10), tail(12, None))
    assert (found.cursor, found.publish_epoch, found.loss) == (OLD, 3, None)


def test_another_stream_of_that_name_is_a_loss() -> None:
    found = resumption(row(10), tail(0, None, CREATED + timedelta(microseconds=1)))
    assert (found.cursor, found.publish_epoch) == (None, 4)
    assert found.loss is not None
    assert "replaced" in found.loss


def test_a_lost_end_is_a_loss_and_what_is_left_is_kept() -> None:
    found = resumption(row(10), tail(7))
    assert (found.cursor, found.publish_epoch) == (CURSOR, 4)
    assert found.loss is not None
    assert "ends at 7" in found.loss
    assert resumption(row(10), tail(0, None)).cursor is None
