"""When something happened in the world: as the caller says, or now."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def business_time(given: datetime | None, now: datetime, name: str, *, after: datetime | None = None) -> datetime:
    """`given`, or `now` when it is None; `name` says of what: `the payment`.

    It lies not in the future, but for clocks that differ a little, and not before `after`.
    """
    if given is None:
        return now if after is None else max(now, after)
    if given > now + rules.CLOCK_TOLERANCE:
        raise RuleViolated(rules.TIME_IN_FUTURE, f"The time of {name} is {_text(given)}, it is {_text(now)}.")
    if after is not None and given < after:
        raise RuleViolated(rules.TIME_ORDER, f"The time of {name} is {_text(given)}, before {_text(after)}.")
    return given


def whole_second(moment: datetime) -> datetime:
    """The second that a moment lies in: callers often tell times without a fraction."""
    return moment.replace(microsecond=0)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
