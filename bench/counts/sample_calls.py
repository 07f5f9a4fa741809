"""Makes requests that differ only in ids, whose texts all have the same length."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.partition import partition_of
from tandem.orders.v1.order_command_service_pb2 import (
    NewOrderLine,
    PlaceOrderRequest,
    RecordPaymentRequest,
    ShipOrderRequest,
)
from tandem.orders.v1.order_types_pb2 import Customer

_LINES = (("LAMP-BLU", "Lamp, blue", 45_90, 2), ("CHAIR-OAK", "Chair, oak", 129_00, 1), ("CLOCK-STE", "Clock", 9_95, 4))
_FREIGHT = 4_95
_TOTAL = sum(cents * quantity for _, _, cents, quantity in _LINES) + _FREIGHT


class SampleCalls:
    """Commands on one new order after the other."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._orders = self._with_long_partitions()

    def place(self, city: str) -> PlaceOrderRequest:
        """Returns a request for a new order of three lines from a customer of that city."""
        return PlaceOrderRequest(
            request_id=self._id(),
            order_id=next(self._orders),
            source="counts",
            customer=Customer(customer_id=f"C-{city}", display_name="Dörte Berger", email="doerte@example.org"),
            shipping_address=PostalAddress(
                recipients=["Dörte Berger"],
                address_lines=["Marktplatz 17"],
                locality=city,
                postal_code="50667",
                region_code="DE",
            ),
            lines=[
                NewOrderLine(sku=sku, product_name=name, unit_price=_euros(cents), quantity=quantity)
                for sku, name, cents, quantity in _LINES
            ],
            freight=_euros(_FREIGHT),
        )

    def pay(self, order_id: str) -> RecordPaymentRequest:
        """Returns a request to record a payment of the whole order."""
        return RecordPaymentRequest(
            request_id=self._id(), order_id=order_id, amount=_euros(_TOTAL), method="card", reference="R-1000-2000"
        )

    def ship(self, order_id: str) -> ShipOrderRequest:
        """Returns a request to ship the order."""
        return ShipOrderRequest(request_id=self._id(), order_id=order_id, carrier="Post", tracking_number="T-1000-2000")

    def _id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:tandem:counts/{next(self._numbers)}"))

    def _with_long_partitions(self) -> Iterator[str]:
        """Yields ids of orders whose partitions have two digits."""
        while True:
            order_id = self._id()
            if partition_of(order_id) >= 10:
                yield order_id


def _euros(cents: int) -> Money:
    return Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000)
