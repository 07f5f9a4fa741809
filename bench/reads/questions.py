"""Makes queries as callers send them, over the orders of `order_messages`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from bench.reads.order_messages import Ids, SampledStream, documents_of

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


class Questions:
    """Random queries over `orders` orders; the same seed gives the same queries."""

    def __init__(self, sampled: SampledStream, orders: int, seed: int = 1) -> None:
        self._orders = orders
        self._documents = [documents_of(message)[0] for message in sampled.events]
        self._random = random.Random(seed)

    def asked(self, method: str, count: int) -> list[bytes]:
        """Returns `count` serialised requests of a method."""
        makes = {GET: self._get, SEARCH: self._search, SUMMARIZE: self._summarize}
        make: Callable[[int], bytes] = makes[method]
        return [make(number) for number in range(count)]

    def by_month(self, time_zone: str, count: int) -> list[bytes]:
        """Returns `count` serialised requests for the figures of a country's orders by month of a time zone."""
        return [self._of_country(contract.ORDER_DIMENSION_MONTH, time_zone) for _ in range(count)]

    def order_ids(self, count: int) -> Sequence[str]:
        """Returns the ids of random orders."""
        return [Ids.of(self._random.randrange(self._orders)).order_id for _ in range(count)]

    def _get(self, _: int) -> bytes:
        return contract.GetOrderRequest(order_id=self.order_ids(1)[0]).SerializeToString()

    def _search(self, number: int) -> bytes:
        """Returns a search by customer, by word prefixes, or by country among unpaid orders; `number` decides which."""
        document = self._random.choice(self._documents)
        asked = contract.SearchOrdersRequest(page_size=PAGE_SIZE)
        match number % 3:
            case 0:
                asked.filter.customer_ids.append(document["customer_id"])
            case 1:
                product = self._random.choice(document["lines"])["product_name"]
                asked.filter.text = " ".join(word[:4] for word in (product, document["region_code"]))
                asked.sort = contract.ORDER_SORT_UPDATE_TIME_DESC
            case _:
                asked.filter.region_codes.append(document["region_code"])
                asked.filter.payment_states.append(types.PAYMENT_STATE_UNPAID)
                asked.facets.append(contract.ORDER_DIMENSION_STATE)
        return asked.SerializeToString()

    def _summarize(self, number: int) -> bytes:
        """Returns a request for the figures of a country's orders, grouped by a dimension that `number` chooses."""
        return self._of_country(_DIMENSIONS[number % len(_DIMENSIONS)])

    def _of_country(self, dimension: contract.OrderDimension.ValueType, time_zone: str = "") -> bytes:
        document = self._random.choice(self._documents)
        asked = contract.SummarizeOrdersRequest(group_by=[dimension], time_zone=time_zone)
        asked.filter.region_codes.append(document["region_code"])
        return asked.SerializeToString()
