"""Projectors with one guard switched off: `python -m tests.support.queries.projector_mutants <mutant> project`.

The projector's tests must fail with each mutant; a test that does not proves nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from query_service.__main__ import main
from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.projecting import claim_freshness, project_events
from query_service.application.projecting.project_events import EventProjector
from query_service.handlers.notices.refresh_turns import RefreshTurns

_apply_first = EventProjector._round


async def _acks_first(self: EventProjector, tasks: list[Any]) -> list[Any]:
    for task in tasks:
        await task.delivery.ack()
    return await _apply_first(self, tasks)


async def _announces_first(self: EventProjector, tasks: list[Any]) -> list[Any]:
    await self._announcer.applied([(task.event.order_id, task.event.version) for task in tasks])
    return await _apply_first(self, tasks)


def ack_before_bulk() -> None:
    """Acknowledges messages before their documents are written."""
    EventProjector._round = _acks_first  # type: ignore[method-assign]


def notice_before_bulk() -> None:
    """Notifies readers before both documents are written."""
    EventProjector._round = _announces_first  # type: ignore[method-assign]


def ack_after_first_document() -> None:
    """Counts an event as applied although one of its documents was deferred."""

    def hasty(tasks: Sequence[Any], outcomes: Sequence[Any]) -> Any:
        return list(tasks), [], [], ""

    project_events._settled = hasty


def claim_at_once() -> None:
    """Claims a barrier as soon as it is delivered, while other projectors still apply earlier messages."""
    claim = claim_freshness.BarrierLedger.claim

    def credulous(self: Any, ack_floor: int, stream_created_at: int) -> Any:
        return claim(self, 2**62, stream_created_at)

    claim_freshness.BarrierLedger.claim = credulous  # type: ignore[method-assign]


def answers_before_the_refresh() -> None:
    """Answers refresh requests before the refresh."""

    async def hasty(self: CoalescedRefresh) -> bool:
        self.following()
        return True

    CoalescedRefresh.catch_up = hasty  # type: ignore[method-assign]


def refreshes_at_once() -> None:
    """Refreshes at once on every request, whatever other projectors do."""
    RefreshTurns.elsewhere = property(lambda self: None)  # type: ignore[assignment, method-assign]

    async def alone(self: CoalescedRefresh) -> bool:
        return await self._refresh()

    CoalescedRefresh.catch_up = alone  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        ack_before_bulk,
        notice_before_bulk,
        ack_after_first_document,
        claim_at_once,
        answers_before_the_refresh,
        refreshes_at_once,
    )
}

if __name__ == "__main__":
    MUTANTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
