"""Decides the business time of an event: the time that the caller gives, or now."""

from __future__ import annotations

from datetime import datetime

from command_service.domain import rules
from command_service.domain.errors import RuleViolated


def business_time(
    given: datetime | None, now: datetime, name: str, *, after: datetime | None = None, event: str = ""
) -> datetime:
    """Returns `given`. If it is None, returns `now`, or `after` if that is later.

    Refuses a `given` time that is before `after`, or more than CLOCK_TOLERANCE after `now`. For the message, `name` is
    what has this time (`the payment`), and `event` is what happened at `after` (`the order was placed`).
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
    """Returns the time without its fraction of a second, because times from callers often lack it."""
    return moment.replace(microsecond=0)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
