"""What a leader tells of its lag by itself, and when it must ask."""

from __future__ import annotations

import pytest

from relay.publishing.own_lag import OwnLag

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def own(in_flight: int | None, *, settled: bool, read_up_to: int | None = None, last_read: int | None = None) -> OwnLag:
    return OwnLag(lambda: in_flight, lambda: settled, read_up_to, last_read)


@pytest.mark.parametrize("measured", [None, NOW - 9 * SECOND])
def test_the_oldest_in_flight_is_the_oldest(measured: int | None) -> None:
    lag = own(NOW - 3 * SECOND, settled=False, read_up_to=NOW - 60 * SECOND)
    assert lag.oldest(NOW, measured) == NOW - 3 * SECOND
    assert lag.tells(NOW)


def test_nothing_in_flight_and_all_read_is_no_lag_whatever_was_measured() -> None:
    lag = own(None, settled=True, read_up_to=NOW - SECOND // 2)
    assert lag.oldest(NOW, NOW - 9 * SECOND) is None
    assert lag.tells(NOW)


@pytest.mark.parametrize("read_up_to", [None, NOW - 2 * SECOND])
def test_a_leader_that_has_not_read_everything_cannot_tell(read_up_to: int | None) -> None:
    lag = own(None, settled=True, read_up_to=read_up_to)
    assert not lag.tells(NOW)
    assert lag.oldest(NOW, NOW - 9 * SECOND) == NOW - 9 * SECOND
    assert lag.oldest(NOW, None) is None


def test_what_has_been_passed_since_the_measurement_counts() -> None:
    lag = own(None, settled=True, last_read=NOW - 4 * SECOND)
    assert lag.oldest(NOW, NOW - 9 * SECOND) == NOW - 4 * SECOND
    assert lag.oldest(NOW, NOW - 2 * SECOND) == NOW - 2 * SECOND
