"""Decides when something happened in the world: as the caller says, or now."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def business_time(
    given: datetime | None, now: datetime, name: str, *, after: datetime | None = None, event: str = ""
) -> datetime:
    """Returns `given`, or `now` for None. `name` says of what: `the payment`.

    Refuses a time that is before `after`, or in the future by more than clocks may differ. `event` says what happened
    at `after`: `the order was placed`.
    """
    if given is None:
        return now if after is None else max(now, after)
    if given > now + rules.CLOCK_TOLERANCE:
        minutes = rules.CLOCK_TOLERANCE.seconds // 60
        message = (
            f"The time of {name} is {_text(given)}, more than {minutes} minutes after now ({_text(now)})."
            " Correct it, or the caller's clock."
        )
        raise RuleViolated(rules.TIME_IN_FUTURE, message)
    if after is not None and given < after:
        message = f"The time of {name} is {_text(given)}, before {event} ({_text(after)}). Correct it."
        raise RuleViolated(rules.TIME_ORDER, message)
    return given


def whole_second(moment: datetime) -> datetime:
    """Cuts off the fraction of a second, which callers often leave out."""
    return moment.replace(microsecond=0)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
