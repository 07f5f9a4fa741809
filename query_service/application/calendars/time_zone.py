"""Computes the local day of a moment in an IANA time zone.

The offsets of a zone are read from the package `tzdata`, which is locked with this release. The database of the
operating system and that of Elasticsearch's Java runtime may be of another year, so neither is asked. Every store gets
the boundaries of local days from here, so all stores count an order on the same day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

#: A second and a day in microseconds.
_SECOND, DAY = 1_000_000, 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Local days since 1970 that have a calendar key: those of the years 1 to 9999.
FIRST_DAY, LAST_DAY = (datetime.min.replace(tzinfo=UTC) - _EPOCH).days, (datetime.max.replace(tzinfo=UTC) - _EPOCH).days
#: Offsets are looked for from 1840, before the first change in the database, to the end of 2099. After it the last
#: offset is used. Both are seconds since 1970.
_SEARCHED_FROM, _SEARCHED_UNTIL = -4_102_444_800, 4_102_444_800
#: Two changes of one zone are at least 601,200 seconds apart. A test compares this with the database.
STEP_SECONDS = 500_000


@dataclass(frozen=True, slots=True)
class TimeZone:
    """A time zone: from each of `starts` on, `offsets` has how far local time is ahead of UTC.

    Both are in microseconds, `starts` since 1970 and ascending. The first offset also holds for all earlier times.
    """

    name: str
    starts: tuple[int, ...]
    offsets: tuple[int, ...]

    def day(self, time: int) -> int:
        """Returns the local day of a time in microseconds since 1970, as days since 1970-01-01."""
        return next(self.parts(time, time + 1))[0]

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Splits the time from `start` until `end`, both in microseconds since 1970, into parts of one local day each.

        Yields the local day, the part's start and its end. Two parts may be of one day, and a day may come back, when
        the clocks are set back just after midnight.
        """
        while start < end:
            number = max(bisect_right(self.starts, start) - 1, 0)
            offset = self.offsets[number]
            day = (start + offset) // DAY
            stop = min(end, (day + 1) * DAY - offset, *self.starts[number + 1 : number + 2])
            yield max(FIRST_DAY, min(LAST_DAY, day)), start, stop
            start = stop


@cache
def time_zone_names() -> frozenset[str]:
    """Returns the names of all time zones, such as `Europe/Berlin`."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache  # of all zones: a zone that is looked up anew would keep everybody waiting
def time_zone(name: str) -> TimeZone:
    """Returns the time zone with one of the `time_zone_names`. The first call for a zone takes up to 20 ms."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        zone = ZoneInfo.from_file(file, key=name)
    time, step = _SEARCHED_FROM, timedelta(seconds=STEP_SECONDS)
    moment = _moment(zone, time)
    starts, offsets = [time], [_offset(zone, moment)]
    while time < _SEARCHED_UNTIL:
        # 16,000 times: `moment` goes along, because making it anew each time would take most of the time.
        following, moment = time + STEP_SECONDS, moment + step
        if _offset(zone, moment) != offsets[-1]:
            following = _first(lambda second: _offset(zone, _moment(zone, second)) != offsets[-1], time, following)
            moment = _moment(zone, following)
            starts.append(following)
            offsets.append(_offset(zone, moment))
        time = following
    return TimeZone(
        name,
        tuple(start * _SECOND for start in starts),
        tuple(round(offset.total_seconds()) * _SECOND for offset in offsets),
    )


def _moment(zone: ZoneInfo, second: int) -> datetime:
    """Returns the time of UTC at a second since 1970, marked with the zone, as `ZoneInfo.fromutc` takes it."""
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=zone)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    """Returns the offset from UTC at a `_moment`."""
    offset = zone.fromutc(moment).utcoffset()
    assert offset is not None
    return offset


def _first(holds: Callable[[int], bool], before: int, after: int) -> int:
    """Returns the first second for which `holds` is true; it is false at `before` and true at `after`."""
    while after - before > 1:
        middle = (before + after) // 2
        if holds(middle):
            after = middle
        else:
            before = middle
    return after
