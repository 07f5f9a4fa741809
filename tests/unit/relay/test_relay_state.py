"""Loss or age: what the remembered row and the stream's end say together."""

from datetime import UTC, datetime, timedelta

from relay.events.cursor import PollCursor
from relay.events.snapshot import Snapshot
from relay.events.tail import Tail
from relay.publishing.state import StateRow, resumption

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CURSOR = PollCursor(1, Snapshot(5, 6))
OLD = PollCursor(1, Snapshot(3, 4))


def tail(last: int, cursor: PollCursor | None = CURSOR, created: datetime = CREATED) -> Tail:
    return Tail(created, last, last, 1, cursor, None)


def row(last: int, cursor: PollCursor | None = OLD) -> StateRow:
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
