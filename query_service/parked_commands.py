"""Runs `parked list|show|retry|discard`, and reports the result as JSON and an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.projecting.parked_events import (
    NothingParked,
    ParkedEntry,
    ParkedEvents,
    Retried,
    RetryOutcome,
    StillNeeded,
)
from query_service.projection.proto_json import moment

ACTIONS = ("list", "show", "retry", "discard")
DONE, REFUSED, DOWN = 0, 1, 3


@dataclass(frozen=True, slots=True)
class ParkedReport:
    """What to print, and the exit code: 0 done, 1 refused or still parked, 3 store or NATS is down."""

    exit_code: int
    entries: Sequence[Mapping[str, Any]] = ()
    error: str = ""


async def run_parked(events: ParkedEvents, action: str, key: str = "", *, needed_too: bool = False) -> ParkedReport:
    """Runs one of ACTIONS. `key` is `ORDER`, `ORDER/VERSION` or `STREAM/SEQUENCE`; `list` has none.

    Errors are in the report; it raises none of them.
    """
    try:
        match action:
            case "list":
                return ParkedReport(DONE, [_fields(entry) for entry in await events.everything()])
            case "show":
                return ParkedReport(DONE, [_fields(entry) for entry in await events.show(key)])
            case "discard":
                discarded = await events.discard(key, needed_too=needed_too)
                return ParkedReport(DONE, [_fields(entry) for entry in discarded])
            case _:
                retried = await events.retry(key)
                done = all(event.outcome is RetryOutcome.APPLIED for event in retried)
                return ParkedReport(DONE if done else REFUSED, [_outcome(event) for event in retried])
    except (NothingParked, StillNeeded) as refusal:
        return ParkedReport(REFUSED, error=str(refusal))
    except (DependencyDown, ReadStoreNotReady) as down:
        return ParkedReport(DOWN, error=str(down))


def _outcome(retried: Retried) -> dict[str, Any]:
    return {**_fields(retried.entry), "outcome": str(retried.outcome)}


def _fields(entry: ParkedEntry) -> dict[str, Any]:
    event = asdict(entry.event)
    times = {
        name: moment(event[name]).astimezone(UTC).isoformat().replace("+00:00", "Z")
        for name in ("stored_at", "parked_at")
    }
    reason = str(entry.event.reason)
    return {"key": entry.key, **event, **times, "reason": reason, "order_version": entry.order_version,
            "healed": entry.healed}  # fmt: skip
