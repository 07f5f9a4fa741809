"""Returns the figures of a customer's orders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.ports.errors import CustomerUnknown
from query_service.application.ports.order_questions import CustomerFigures
from query_service.application.ports.read_store import OrderReader
from query_service.application.questions.encoded_orders import encoded_orders

RECENT_ORDERS = 10


@dataclass(frozen=True, slots=True)
class CustomerSummary:
    """The figures of a customer's orders, and their latest orders, encoded, at least one."""

    figures: CustomerFigures
    recent: list[bytes]

    @property
    def generation(self) -> str:
        """The generation that answered."""
        return self.figures.generation


class GetCustomerSummary:
    """Computes the figures of a customer's orders, as fresh as the caller wants."""

    def __init__(self, reader: OrderReader, gate: ListGate, parked: ParkedOrders) -> None:
        self._reader, self._gate, self._parked = reader, gate, parked

    async def __call__(self, customer_id: str, wanted: Consistency) -> Answer[CustomerSummary]:
        """Returns the summary. Raises CustomerUnknown, Parked, Lagging, TokenOfOtherSource and RebuildNeeded."""

        async def read() -> CustomerSummary:
            figures = await self._reader.customer(customer_id, recent=RECENT_ORDERS)
            return CustomerSummary(figures, await encoded_orders(figures.recent, self._reader.entries))

        summary, admission = await self._gate.read(wanted, read)
        if not summary.recent:
            # The order in the token that the list lacks may be an order of this customer.
            raise admission.lagging or CustomerUnknown(customer_id)
        parked = self._parked.any_of((order["order_id"], order["version"]) for order in summary.figures.recent)
        info = admission.info(summary.generation)
        return Answer(summary, replace(info, parked=info.parked or parked))
