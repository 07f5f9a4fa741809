"""Finds events that one generation parked although another one has them.

Versions and hashes cannot tell, because a parked version is expected to be missing. So a mapping or a projection that
refuses what the release before could store would lose orders without any difference.
"""

from __future__ import annotations

from collections import defaultdict

from query_service.application.comparing.findings import Finding, Kind
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.read_store import ParkedEvent


async def parked_apart(new: CheckedStore, old: CheckedStore, most: int) -> list[Finding]:
    """Returns up to `most` parked events whose journal entry is in `old` and not in `new`, in the sequence of orders.

    Raises DependencyDown and ReadStoreNotReady.
    """
    parked: defaultdict[str, list[ParkedEvent]] = defaultdict(list)
    for event in await new.parked_events():
        if event.order_id is not None:
            parked[event.order_id].append(event)
    found: list[Finding] = []
    for order_id, events in sorted(parked.items()):
        versions = [event.version for event in events]
        here = await new.entries(order_id, versions)
        there = await old.entries(order_id, versions)
        for event, ours, theirs in zip(events, here, there, strict=True):
            if ours is None and theirs is not None:
                detail = f"parked, and the old generation has it: {event.reason}, {event.detail}"
                found.append(Finding(Kind.ENTRY_MISSING, order_id, event.version, detail))
        if len(found) >= most:
            break
    return found[:most]
