"""Rules of request fields, and the checks that several of them share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NANOS = 1_000_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field must be, in words that follow its name. `holds` gets the value, None when the field is absent."""

    demands: str
    holds: Callable[[Any], bool]


#: Any value will do.
ANY = Rule("may be anything", lambda value: True)


@dataclass(frozen=True, slots=True)
class Relation:
    """What fields of a request must be to each other; `field` is the one to name. `holds` gets the request."""

    field: str
    demands: str
    holds: Callable[[Any], bool]


def absent_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The check for a field that need not be there."""
    return lambda value: value is None or check(value)


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID with its hyphens."""
    return _UUID.fullmatch(text) is not None


def is_time(timestamp: Any) -> bool:
    """Whether a Timestamp is one."""
    seconds: int = timestamp.seconds
    return _FIRST_SECOND <= seconds <= _LAST_SECOND and timestamp.nanos in range(NANOS)
