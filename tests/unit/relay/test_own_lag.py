"""What a leader tells of its lag by itself, and when it must ask."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from relay.events.cursor import Cursor, PollCursor
from relay.events.snapshot import Snapshot
from relay.lag.own_lag import OwnLag

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
STORED = PollCursor(1, Snapshot(3, 4))


@dataclass
class Told:
    """A session that tells what it is given."""

    in_flight: int | None
    settled: bool
    read_up_to: int | None = None
    last_read: int | None = None
    stored_cursor: Cursor | None = STORED

    def oldest_in_flight(self) -> int | None:
        return self.in_flight

    def covering(self) -> tuple[Snapshot, list[int]]:
        return Snapshot(5, 5), [7]


def own(in_flight: int | None, *, settled: bool, read_up_to: int | None = None, last_read: int | None = None) -> OwnLag:
    """That of a leader in such a session."""
    lag = OwnLag()
    lag.leads()
    lag.session_begun(Told(in_flight, settled, read_up_to, last_read))
    return lag


def oldest(lag: OwnLag, measured: int | None) -> int | None:
    return lag.oldest(NOW, measured, measured_in_session=True)


def tells(lag: OwnLag, *, backlog: bool = True, in_session: bool = True) -> bool:
    return lag.tells(NOW, measured_backlog=backlog, measured_in_session=in_session)


@pytest.mark.parametrize("measured", [None, NOW - 9 * SECOND])
def test_the_oldest_in_flight_is_the_oldest(measured: int | None) -> None:
    lag = own(NOW - 3 * SECOND, settled=False, read_up_to=NOW - 60 * SECOND)
    assert oldest(lag, measured) == NOW - 3 * SECOND
    assert tells(lag)


def test_nothing_in_flight_and_all_read_is_no_lag_whatever_was_measured() -> None:
    lag = own(None, settled=True, read_up_to=NOW - SECOND // 2)
    assert oldest(lag, NOW - 9 * SECOND) is None
    assert tells(lag)


@pytest.mark.parametrize("read_up_to", [None, NOW - 2 * SECOND])
def test_a_leader_that_has_not_read_everything_cannot_tell(read_up_to: int | None) -> None:
    lag = own(None, settled=True, read_up_to=read_up_to)
    assert not tells(lag)
    assert oldest(lag, NOW - 9 * SECOND) == NOW - 9 * SECOND
    assert oldest(lag, None) is None


def test_what_has_been_passed_since_the_measurement_counts() -> None:
    lag = own(None, settled=True, last_read=NOW - 4 * SECOND)
    assert oldest(lag, NOW - 9 * SECOND) == NOW - 4 * SECOND
    assert oldest(lag, NOW - 2 * SECOND) == NOW - 2 * SECOND


def test_a_session_that_is_over_counts_until_the_table_was_asked() -> None:
    lag = own(NOW - 3 * SECOND, settled=False)
    lag.session_over()
    assert not lag.in_session
    assert oldest(lag, None) == NOW - 3 * SECOND
    assert not tells(lag)
    assert lag.oldest(NOW, NOW - SECOND, measured_in_session=False) == NOW - SECOND
    assert tells(lag, in_session=False)
    assert not tells(lag, in_session=False, backlog=False)


def test_who_does_not_lead_tells_what_was_measured() -> None:
    lag = own(NOW - 3 * SECOND, settled=False)
    assert (lag.leading, lag.in_session) == (True, True)
    assert lag.stored() == (STORED, (Snapshot(5, 5), [7]))
    lag.stepped_back()
    assert (lag.leading, lag.in_session) == (False, False)
    assert lag.stored() == (None, None)
    assert oldest(lag, NOW - 9 * SECOND) == NOW - 9 * SECOND
    assert tells(lag, backlog=False)


def test_a_cursor_is_compared_with_the_database_on_record_only() -> None:
    lag = OwnLag()
    assert lag.comparable(7)
    lag.database_checked(2)
    assert [lag.comparable(epoch) for epoch in (0, 1, 2, 3)] == [True, False, True, False]
    lag.source_changed()
    assert not any(lag.comparable(epoch) for epoch in (0, 2))
    lag.database_checked(2)
    assert lag.comparable(2)
