"""Verifies one order or all: every copy against every other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from audit.proving.findings import Finding, Report
from audit.verifying.copies import Copies, differences
from audit.verifying.sources import Sources

#: So often an order that seems wrong is read again, because it may change between the reads of its copies.
LOOKS = 3


async def verify_orders(
    sources: Sources, report: Report, order_ids: Sequence[UUID] = (), advance: Callable[[int], None] = lambda _: None
) -> int:
    """Compares the copies of these orders, or of all, and adds what differs to `report`; returns how many orders.

    Raises what the sources raise.
    """
    if order_ids:
        await _together(sources, report, order_ids)
        return len(order_ids)
    done = 0
    async for group in sources.every_order():
        await _together(sources, report, group)
        done += len(group)
        advance(done)
    return done


async def _together(sources: Sources, report: Report, order_ids: Sequence[UUID]) -> None:
    if not order_ids:
        return
    for copies in await sources.copies(order_ids):
        found = list(differences(copies))
        for _ in range(LOOKS - 1):
            if not found:
                break
            [copies_now] = await sources.copies([copies.order_id])
            found = list(differences(copies_now))
        for finding in _sorted(found):
            report.add(finding)
        _count(copies, report)


def _sorted(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: finding.version or 1 << 62)


def _count(copies: Copies, report: Report) -> None:
    report.counts["events"] = report.counts.get("events", 0) + len(copies.events)
    logged = sum(event.event_id in copies.leaves for event in copies.events)
    report.counts["events in the audit log"] = report.counts.get("events in the audit log", 0) + logged
    if (
        copies.read_model is not None
        and copies.state is not None
        and copies.read_model.order_version < copies.state.version
    ):
        report.counts["orders that lag in the index"] = report.counts.get("orders that lag in the index", 0) + 1
