"""The histogram of the time from an event's record to its ack: every event in its bucket, however it is counted."""

import pytest

from relay.metrics import CommitToAck

#: Seconds since 1970: what the clock shows when events are stored.
NOW = 1_800_000_000.0


def counted(*ages: float, clock_offset: float = 0.0) -> tuple[dict[str, float], float]:
    """The cumulated buckets by their bound, and the sum of seconds, after events of these ages were stored at once."""
    histogram = CommitToAck(lambda: NOW)
    histogram.observe([round((NOW + clock_offset - age) * 1e6) for age in ages], clock_offset)
    (family,) = histogram.collect()
    buckets = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    return buckets, next(one.value for one in family.samples if one.name.endswith("_sum"))


@pytest.mark.parametrize("clock_offset", [0.0, 7.0, -3_600.0])
def test_each_event_counts_in_its_bucket(clock_offset: float) -> None:
    buckets, total = counted(0.0, 0.03, 3.0, 3.0, 3600.0, clock_offset=clock_offset)
    assert buckets["0.0005"] == buckets["0.02"] == 1
    assert buckets["0.05"] == buckets["2.5"] == 2
    assert buckets["5.0"] == buckets["60.0"] == 4
    assert buckets["+Inf"] == 5
    assert total == pytest.approx(3606.03)


def test_a_backlog_of_one_age_is_counted_at_once() -> None:
    buckets, total = counted(3.0, 2.6, 3.5)
    assert (buckets["2.5"], buckets["5.0"], buckets["+Inf"]) == (0, 3, 3)
    assert total == pytest.approx(9.1)


def test_a_clock_that_lags_makes_no_age_below_zero() -> None:
    buckets, total = counted(-2.0, -1.0)
    assert (buckets["0.0005"], total) == (2, 0.0)
