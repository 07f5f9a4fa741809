"""Makes up realistic orders: customers who return, products with a price, baskets of a few lines.

The same seed gives the same orders.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_command_service_pb2 import NewOrderLine, PlaceOrderRequest
from tandem.orders.v1.order_types_pb2 import Customer

SOURCE = "sample"
_FIRST = ("Aino", "Bram", "Chiara", "Dörte", "Emil", "Fatou", "Goran", "Hélène", "Ines", "Jørgen", "Kaja", "Łukasz")
_LAST = ("Almeida", "Berger", "Çelik", "Dubois", "Eriksen", "Fischer", "García", "Håkansson", "Ivanova", "Jansen")
_CITIES = (
    ("DE", "Köln", "50667"), ("NL", "Utrecht", "3511"), ("FR", "Lyon", "69001"), ("AT", "Graz", "8010"),
    ("SE", "Malmö", "211 22"), ("ES", "Sevilla", "41001"), ("IT", "Torino", "10121"), ("PL", "Łódź", "90-001"),
)  # fmt: skip
_STREETS = ("Marktplatz", "Station Road", "Rue de la Gare", "Kungsgatan", "Via Roma", "Calle Mayor", "Hauptstraße")
_THINGS = (
    "Lamp",
    "Chair",
    "Teapot",
    "Bicycle bell",
    "Notebook",
    "Blanket",
    "Kettle",
    "Headphones",
    "Backpack",
    "Clock",
)
_KINDS = ("small", "large", "blue", "oak", "steel", "classic")
_TAX_RATES = {"DE": 1900, "NL": 2100, "FR": 2000, "AT": 2000, "SE": 2500, "ES": 2100, "IT": 2200, "PL": 2300}


@dataclass(frozen=True)
class _Product:
    sku: str
    name: str
    price_cents: int


class SampleShop:
    """A shop that gains customers as it gets orders. With one seed, a longer list begins with the shorter one."""

    def __init__(self, orders: int, seed: int) -> None:
        self._orders, self._seed = orders, seed
        self._source = random.Random(seed)
        self._products = [self._product(thing, kind) for thing in _THINGS for kind in _KINDS]

    def requests(self) -> Iterator[PlaceOrderRequest]:
        """Yields one request per order."""
        for number in range(self._orders):
            yield self._request(number)

    def _product(self, thing: str, kind: str) -> _Product:
        sku = f"{thing[:4].upper().strip()}-{kind[:3].upper()}"
        return _Product(sku, f"{thing}, {kind}", self._source.randrange(300, 25_000))

    def _request(self, number: int) -> PlaceOrderRequest:
        # Some customers order often, most do once or twice.
        customer = min(int(self._source.paretovariate(1.2)), 1 + number // 6)
        person = random.Random(f"{self._seed}-{customer}")
        name = f"{person.choice(_FIRST)} {person.choice(_LAST)}"
        region, city, postal_code = person.choice(_CITIES)
        basket = self._source.sample(self._products, k=min(1 + int(self._source.expovariate(0.7)), 12))
        return PlaceOrderRequest(
            request_id=self._id("request", number),
            order_id=self._id("order", number),
            source=SOURCE,
            customer=Customer(
                customer_id=f"S{customer:06}", display_name=name, email=f"customer{customer}@example.org"
            ),
            shipping_address=PostalAddress(
                recipients=[name],
                address_lines=[f"{person.choice(_STREETS)} {person.randrange(1, 180)}"],
                locality=city,
                postal_code=postal_code,
                region_code=region,
            ),
            lines=[self._line(product, _TAX_RATES[region]) for product in basket],
            freight=_euros(self._source.choice((0, 495, 495, 995))),
        )

    def _line(self, product: _Product, tax_rate: int) -> NewOrderLine:
        return NewOrderLine(
            sku=product.sku,
            product_name=product.name,
            unit_price=_euros(product.price_cents),
            quantity=1 + int(self._source.expovariate(1.1)),
            discount_basis_points=self._source.choice((0, 0, 0, 0, 500, 1_000)),
            tax_rate_basis_points=tax_rate,
        )

    def _id(self, kind: str, number: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:tandem:sample-shop/{kind}/{self._seed}/{number}"))


def _euros(cents: int) -> Money:
    return Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000)
