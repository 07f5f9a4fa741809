"""Finds the times that make up each local day, week or month, for stores that filter by time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from query_service.application.calendars.time_zone import DAY, TimeZone
from query_service.projection.sales import calendar_of_day


@dataclass(frozen=True, slots=True)
class LocalPeriod:
    """The times that have the same calendar `keys`.

    Each interval has a start, and an end that does not belong to it, in microseconds since 1970.
    """

    keys: tuple[str, ...]
    intervals: tuple[tuple[int, int], ...]


def local_periods(zone: TimeZone, fields: Sequence[str], utc_days: Iterable[int]) -> list[LocalPeriod]:
    """Returns the periods into which a zone's calendar divides these days of UTC, given as days since 1970-01-01.

    `fields` are the names of the CalendarKeys that a period's keys consist of.
    """
    found: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for utc_day in sorted(set(utc_days)):
        for day, start, end in zone.parts(utc_day * DAY, (utc_day + 1) * DAY):
            calendar: dict[str, str] = {**calendar_of_day(day)}  # type: ignore[dict-item]
            intervals = found.setdefault(tuple(calendar[field] for field in fields), [])
            if intervals and intervals[-1][1] == start:
                start = intervals.pop()[0]
            intervals.append((start, end))
    return [LocalPeriod(keys, tuple(intervals)) for keys, intervals in found.items()]
