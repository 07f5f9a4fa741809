"""Shares the ranges of a rebuild among workers. A range belongs to a worker as long as the worker renews its lease.

A worker that dies does not give its range back. Another worker gets it when the lease is over, and goes on after the
last order that was reported. A process of the same name gets it at once. Two workers may then fill the same orders,
which is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from query_service.application.ports.generations import Part, Rebuild
from query_service.application.rebuilding.machine import RebuildRefused

#: How long a lease lasts after it was taken or renewed, in microseconds.
LEASE = 15_000_000


def parts_until(until_order_ids: Sequence[str]) -> tuple[Part, ...]:
    """Returns the ranges that end with these order ids, and the range of all later ids."""
    begins = ("", *until_order_ids)
    return tuple(Part(until, begin) for begin, until in zip(begins, (*until_order_ids, ""), strict=True))


def claimed(rebuild: Rebuild, worker: str, now: int) -> tuple[Rebuild, int | None]:
    """Gives a free range to a worker, or its own one again.

    Returns the rebuild and the range's number; None when no range is free.
    """
    _check_not_ended(rebuild)
    for number, part in enumerate(rebuild.parts):
        if not part.done and (part.worker in ("", worker) or part.lease_until < now):
            mine = replace(part, worker=worker, lease_until=now + LEASE)
            return replace(rebuild, parts=_with(rebuild.parts, {number: mine})), number
    return rebuild, None


def reported(rebuild: Rebuild, progress: Mapping[int, Part], now: int) -> Rebuild:
    """Takes over what the workers of a process have filled, and renews their leases.

    A range that belongs to another worker by now stays as it is.
    """
    _check_not_ended(rebuild)
    theirs = {
        number: replace(part, lease_until=now + LEASE)
        for number, part in progress.items()
        if rebuild.parts[number].worker == part.worker and not rebuild.parts[number].done
    }
    return replace(rebuild, parts=_with(rebuild.parts, theirs))


def holders(rebuild: Rebuild, now: int) -> list[str]:
    """Returns the workers that have a lease now."""
    return sorted({part.worker for part in rebuild.parts if not part.done and part.worker and part.lease_until >= now})


def held_by_others(rebuild: Rebuild, process: str, now: int) -> list[str]:
    """Returns the workers that have a lease now and are none of `process`, whose workers are `process/1` and so on.

    A process that is started again under its own name, like a container in its pod, takes its ranges back at once.
    """
    return [worker for worker in holders(rebuild, now) if worker.rpartition("/")[0] != process]


def renewed(before: Rebuild, after: Rebuild) -> list[str]:
    """Returns the workers that took or renewed a lease between two looks at a rebuild. They live."""
    return sorted(
        {
            late.worker
            for early, late in zip(before.parts, after.parts, strict=False)  # another rebuild may have other ranges
            if late.worker and late.lease_until > early.lease_until
        }
    )


def _with(parts: Sequence[Part], changed: Mapping[int, Part]) -> tuple[Part, ...]:
    return tuple(changed.get(number, part) for number, part in enumerate(parts))


def _check_not_ended(rebuild: Rebuild) -> None:
    """Raises RebuildRefused when the rebuild was cancelled."""
    if rebuild.ended:
        raise RebuildRefused(f"the rebuild into {rebuild.new} is {rebuild.phase}; it is no longer being filled")
