"""Makes random orders for unit tests: every optional value is there or not, and texts have every kind of character."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from command_service.domain.labels import Labels
from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, Address, Customer

CHARACTERS = 'aZ "\\/\n\t\x01\x7fäß語🍵\u2028'
#: Currencies with no, two and three decimal places.
CURRENCIES = ("JPY", "EUR", "KWD")


class RandomOrders:
    """Makes orders and their parts from one source of randomness. No rule says that such an order could happen."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def order(self) -> Order:
        """Returns an order with 1 to 3 lines and up to 2 movements of each kind."""
        shipping = self.address()
        return Order(
            order_id=UUID(int=self._source.getrandbits(128)),
            order_number=self.text(1),
            version=self._source.randint(1, 2**40),
            source=self.text(),
            customer=Customer(self.text(1), self.text(), self.text(), self.text()),
            shipping_address=shipping,
            billing_address=self._source.choice([shipping, self.address()]),
            currency=self._source.choice(CURRENCIES),
            lines=tuple(self._line(number) for number in range(1, self._source.randint(2, 4))),
            freight=self._amount(),
            placed_at=self._moment(),
            updated_at=self._moment(),
            payments=self._some(
                lambda: Payment(self.text(1), self._amount(), self.text(), self.text(), self._moment())
            ),
            shipments=self._some(self._shipment),
            returns=self._some(lambda: Return(self.text(1), self._items(), self._moment())),
            refunds=self._some(lambda: Refund(self.text(1), self._amount(), self.text(), self._moment())),
            on_hold=self._source.random() < 0.5,
            redacted=self._source.random() < 0.5,
            labels=self.labels(),
            note=self.text(),
        )

    def text(self, least: int = 0) -> str:
        """Returns a text of `least` to 6 characters."""
        return "".join(self._source.choices(CHARACTERS, k=self._source.randint(least, 6)))

    def address(self) -> Address:
        """Returns an address. Its country may be anything."""
        texts = {name: self.text() for name in ADDRESS_TEXTS}
        lists: Any = {name: self._some(self.text) for name in ADDRESS_LISTS}
        return Address(**(texts | lists | {"region_code": self.text(1)}))

    def labels(self) -> Labels:
        """Returns up to 3 labels."""
        return Labels({self.text(1): self.text() for _ in range(self._source.randint(0, 3))})

    def _some(self, make: Any) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self._source.randint(0, 2)))

    def _line(self, number: int) -> OrderLine:
        counts = [self._source.choice([0, self._source.randint(1, 9)]) for _ in range(6)]
        return OrderLine(number, self.text(1), self.text(1), self._amount(), self._source.randint(1, 9), *counts)

    def _shipment(self) -> Shipment:
        arrived = self._source.choice([None, self._moment()])
        return Shipment(self.text(1), self._items(), self.text(), self.text(), self._moment(), arrived)

    def _items(self) -> tuple[LineQuantity, ...]:
        return self._some(lambda: LineQuantity(self._source.randint(1, 9), self._source.randint(1, 9)))

    def _amount(self) -> int:
        return self._source.choice([0, self._source.randint(1, 999), self._source.randint(1, 99) * 1000])

    def _moment(self) -> datetime:
        microsecond = self._source.choice([0, 120_000, 123_456, self._source.randint(0, 999_999)])
        days = timedelta(days=self._source.randint(0, 700_000), seconds=self._source.randint(0, 86_399))
        return datetime(1, 1, 1, tzinfo=UTC) + days + timedelta(microseconds=microsecond)
