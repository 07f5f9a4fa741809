"""Returns figures by group: counts, sums and percentiles."""

from __future__ import annotations

from dataclasses import replace

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.freshness.list_gate import ListGate
from query_service.application.ports.order_questions import CANCELLED_STATES, FoundFigures, OrderSummaries
from query_service.application.ports.read_store import OrderReader


class SummarizeOrders:
    """Computes figures by group, as fresh as the caller wants."""

    def __init__(self, reader: OrderReader, gate: ListGate) -> None:
        self._reader, self._gate = reader, gate

    async def __call__(
        self, summaries: OrderSummaries, wanted: Consistency, *, include_cancelled: bool = False
    ) -> Answer[FoundFigures]:
        """Returns the figures. Raises Parked, Lagging and TokenOfOtherSource.

        Leaves out cancelled orders, unless `include_cancelled` is set or a cancelled state is among the criteria.
        """
        criteria = summaries.criteria
        if not include_cancelled and not set(criteria.states) & set(CANCELLED_STATES):
            summaries = replace(summaries, criteria=replace(criteria, excluded_states=CANCELLED_STATES))
        asked = summaries
        found, admission = await self._gate.read(wanted, lambda: self._reader.summarize(asked))
        return Answer(found, admission.info(found.generation))
