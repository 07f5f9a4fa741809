"""Reads time zones from the locked database. That of the operating system may tell the past differently."""

from __future__ import annotations

from importlib.resources import files
from zoneinfo import ZoneInfo


def zone_of_database(name: str) -> ZoneInfo:
    """Returns the zone with this name."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
