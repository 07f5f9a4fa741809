"""The table of a time zone says of every moment what the database says, in every zone."""

from __future__ import annotations

import random
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from query_service.application.calendars import time_zone as module
from query_service.application.calendars.time_zone import FIRST_DAY, LAST_DAY, TimeZone, time_zone, time_zone_names
from query_service.wire.order_criteria import zone_of
from tests.support.queries.time_zones import zone_of_database

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Zones with few and many changes, odd offsets, days that are missing or there twice.
ZONES = (
    "Africa/Casablanca", "America/Noronha", "America/New_York", "Antarctica/Troll", "Asia/Gaza", "Asia/Kathmandu",
    "Asia/Manila", "Australia/Lord_Howe", "Etc/GMT-14", "Europe/Amsterdam", "Europe/Dublin", "Pacific/Apia", "UTC",
)  # fmt: skip


def local_day(zone: ZoneInfo, moment: datetime) -> int:
    return (moment.astimezone(zone).date() - date(1970, 1, 1)).days


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def check_zone(name: str, moments: int) -> None:
    """The table gives the day of the database just before and after each change, and at random moments."""
    table, zone, chance = time_zone(name), zone_of_database(name), random.Random(name)
    starts = [EPOCH + timedelta(microseconds=start) for start in table.starts]
    around = [start + timedelta(microseconds=by) for start in starts for by in (-1, 0, 1)]
    first = datetime(1, 1, 2, tzinfo=UTC)
    anywhen = [first + timedelta(seconds=chance.randrange(66_000_000_000)) for _ in range(moments)]
    for moment in (*around, *anywhen):
        offset = table.offsets[max(bisect_right(table.starts, microseconds(moment)) - 1, 0)]
        assert timedelta(microseconds=offset) == moment.astimezone(zone).utcoffset(), (name, moment)
        assert table.day(microseconds(moment)) == local_day(zone, moment), (name, moment)
    assert list(table.starts) == sorted(set(table.starts))
    assert all(before != after for before, after in zip(table.offsets, table.offsets[1:], strict=False))


@pytest.mark.parametrize("name", ZONES)
def test_the_table_says_what_the_database_says(name: str) -> None:
    check_zone(name, 200)


@pytest.mark.long
def test_every_table_says_what_the_database_says() -> None:
    for name in sorted(time_zone_names()):
        check_zone(name, 2_000)


@pytest.mark.mutant
def test_changes_that_are_stepped_over_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: offsets are compared a year apart, so two changes within them are not seen."""
    monkeypatch.setattr(module, "STEP_SECONDS", 365 * 86_400)
    time_zone.cache_clear()
    try:
        with pytest.raises(AssertionError, match="New_York"):
            check_zone("America/New_York", 2_000)
    finally:
        time_zone.cache_clear()


def test_a_day_at_the_end_of_time_has_a_key() -> None:
    far = TimeZone("far", (0,), (10**18,))
    assert far.day(0) == LAST_DAY == (date.max - date(1970, 1, 1)).days
    assert TimeZone("far", (0,), (-(10**18),)).day(0) == FIRST_DAY == (date.min - date(1970, 1, 1)).days


def test_utc_takes_the_stored_keys() -> None:
    assert [zone_of(name) for name in ("", "UTC", "Etc/UTC")] == [None] * 3
    zone = zone_of("Europe/Berlin")
    assert zone is not None
    assert zone.name == "Europe/Berlin"
    assert {"UTC", "Etc/UTC"} <= time_zone_names()
