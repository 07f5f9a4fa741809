"""Returns figures of money received and paid back, from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.freshness.list_gate import ListGate
from query_service.application.ports.errors import Lagging
from query_service.application.ports.payment_questions import FoundPayments, PaymentSummaries
from query_service.application.ports.read_store import OrderReader

_POLL_SECONDS = 0.05


class SummarizePayments:
    """Computes figures of money, as fresh as the caller wants. `clock` returns seconds."""

    def __init__(self, reader: OrderReader, gate: ListGate, clock: Callable[[], float]) -> None:
        self._reader, self._gate, self._clock = reader, gate, clock

    async def __call__(self, asked: PaymentSummaries, wanted: Consistency) -> Answer[FoundPayments]:
        """Returns the figures. Raises Parked, Lagging, TokenOfOtherSource and RebuildNeeded."""
        until = self._clock() + wanted.max_wait
        lacking: Lagging | None = None

        async def question() -> FoundPayments:
            nonlocal lacking
            lacking = await self._lacking(wanted, until)
            return await self._reader.payments(asked)

        found, admission = await self._gate.read(wanted, question)
        info = admission.info(found.generation)
        return Answer(found, info if lacking is None else replace(info, stale=True))

    async def _lacking(self, wanted: Consistency, until: float) -> Lagging | None:
        """Waits for the journal entries in the token, as an order's document may be stored just before its entry.

        Raises Lagging for an entry that is not stored in time. If a stale answer is allowed, it waits for none, and
        returns the error for an entry that is not stored yet.
        """
        versions = wanted.versions if wanted.source_epoch else {}
        for order_id, version in versions.items():
            while (await self._reader.entries(order_id, [version]))[0] is None:
                lagging = Lagging(order_id, version, version - 1)
                if wanted.stale_allowed:
                    return lagging
                if self._clock() >= until:
                    raise lagging
                await asyncio.sleep(_POLL_SECONDS)
        return None
