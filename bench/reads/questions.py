"""Makes queries as callers send them, over the orders of `order_messages`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from bench.reads.order_messages import Ids, SampledStream

GET, SEARCH, SUMMARIZE = (
    f"/tandem.orders.v1.OrderQueryService/{method}" for method in ("GetOrder", "SearchOrders", "SummarizeOrders")
)
#: The page size of searches.
PAGE_SIZE = 20
_DIMENSIONS = (
    contract.ORDER_DIMENSION_DAY,
    contract.ORDER_DIMENSION_COUNTRY,
    contract.ORDER_DIMENSION_PRODUCT,
    contract.ORDER_DIMENSION_STATE,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of query: its gRPC method, and a function that makes the n-th serialised request."""

    method: str
    make: Callable[[int], bytes]

    def asked(self, count: int) -> list[bytes]:
        """Returns `count` requests."""
        return [self.make(number) for number in range(count)]


class Questions:
    """Random queries over `orders` orders; the same seed gives the same queries."""

    def __init__(self, sampled: SampledStream, orders: int, seed: int = 1) -> None:
        self._orders, self._placed = orders, sampled.placed
        self._random = random.Random(seed)
        self.kinds: Mapping[str, Kind] = {
            "GetOrder": Kind(GET, self._get),
            "SearchOrders of a customer": Kind(SEARCH, self._customer),
            "SearchOrders by word prefixes": Kind(SEARCH, self._words),
            "SearchOrders with counts": Kind(SEARCH, self._counts),
            "SummarizeOrders": Kind(SUMMARIZE, self._summarize),
        }

    def by_month(self, time_zone: str, count: int) -> list[bytes]:
        """Returns `count` serialised requests for the figures of a country's orders by month of a time zone."""
        return [self._of_country(contract.ORDER_DIMENSION_MONTH, time_zone) for _ in range(count)]

    def order_ids(self, count: int) -> Sequence[str]:
        """Returns the ids of random orders."""
        return [Ids.of(self._random.randrange(self._orders)).order_id for _ in range(count)]

    def _get(self, _: int) -> bytes:
        return contract.GetOrderRequest(order_id=self.order_ids(1)[0]).SerializeToString()

    def _customer(self, _: int) -> bytes:
        asked = contract.SearchOrdersRequest(page_size=PAGE_SIZE)
        asked.filter.customer_ids.append(self._random.choice(self._placed).customer.customer_id)
        return asked.SerializeToString()

    def _words(self, _: int) -> bytes:
        """Returns a search by the beginnings of two words: of a product's name, and of the country's code."""
        order = self._random.choice(self._placed)
        product = self._random.choice(order.lines).product_name
        asked = contract.SearchOrdersRequest(page_size=PAGE_SIZE, sort=contract.ORDER_SORT_UPDATE_TIME_DESC)
        asked.filter.text = f"{product[:4]} {order.shipping_address.region_code}"
        return asked.SerializeToString()

    def _counts(self, _: int) -> bytes:
        """Returns a search for a country's unpaid orders, with their counts by state."""
        asked = contract.SearchOrdersRequest(page_size=PAGE_SIZE, facets=[contract.ORDER_DIMENSION_STATE])
        asked.filter.region_codes.append(self._random.choice(self._placed).shipping_address.region_code)
        asked.filter.payment_states.append(types.PAYMENT_STATE_UNPAID)
        return asked.SerializeToString()

    def _summarize(self, number: int) -> bytes:
        """Returns a request for the figures of a country's orders, grouped by a dimension that `number` chooses."""
        return self._of_country(_DIMENSIONS[number % len(_DIMENSIONS)])

    def _of_country(self, dimension: contract.OrderDimension.ValueType, time_zone: str = "") -> bytes:
        asked = contract.SummarizeOrdersRequest(group_by=[dimension], time_zone=time_zone)
        asked.filter.region_codes.append(self._random.choice(self._placed).shipping_address.region_code)
        return asked.SerializeToString()
