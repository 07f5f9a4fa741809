"""Returns the figures of a customer's orders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.ports.errors import CustomerUnknown
from query_service.application.ports.order_questions import CustomerFigures
from query_service.application.ports.read_store import OrderReader
from query_service.projection.order_document import CustomerDocument

RECENT_ORDERS = 10


@dataclass(frozen=True, slots=True)
class CustomerSummary:
    """A customer as they are in their latest order, and the figures of their orders."""

    customer: CustomerDocument
    figures: CustomerFigures


class GetCustomerSummary:
    """Computes the figures of a customer's orders, as fresh as the caller wants."""

    def __init__(self, reader: OrderReader, gate: ListGate, parked: ParkedOrders) -> None:
        self._reader, self._gate, self._parked = reader, gate, parked

    async def __call__(self, customer_id: str, wanted: Consistency) -> Answer[CustomerSummary]:
        """Returns the summary. Raises CustomerUnknown, Parked, Lagging and TokenOfOtherSource."""
        figures, admission = await self._gate.read(
            wanted, lambda: self._reader.customer(customer_id, recent=RECENT_ORDERS)
        )
        if not figures.recent:
            # The order in the token that the list lacks may be an order of this customer.
            raise admission.lagging or CustomerUnknown(customer_id)
        customer = figures.recent[0]["customer"]
        assert customer is not None
        parked = self._parked.any_of((order["order_id"], order["version"]) for order in figures.recent)
        info = admission.info(figures.generation)
        return Answer(CustomerSummary(customer, figures), replace(info, parked=info.parked or parked))
