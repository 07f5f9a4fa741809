"""Counts what each kind of query costs in Elasticsearch."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest

from bench.counts.order_flow import WITHIN_SECONDS, OrderFlow
from bench.counts.running_stack import RunningStack
from bench.counts.steady import MOST, Figures, Samples
from bench.counts.store_counter import StoreCounter

NEW_ORDER = "SearchOrders of a new order"


class Queries:
    """Asks about some orders. Nobody changes them, so the answers stay the same."""

    def __init__(self, stack: RunningStack, flow: OrderFlow, orders: Sequence[PlaceOrderRequest]) -> None:
        self._stack, self._flow, self._orders = stack, flow, orders
        self._counter = StoreCounter(stack.traffic.serve_and_elasticsearch, stack.indices)

    async def count(self, *kinds: str) -> dict[str, Figures]:
        """Asks these kinds of queries until their counts are steady; none: all. Raises NotSteady."""
        await self._stack.indices.refresh()
        asks: dict[str, Callable[[], Awaitable[Figures]]] = {}
        for name, (method, request) in (await self._kinds()).items():
            asks[name] = functools.partial(self._ask, method, request)
        asks[NEW_ORDER] = self._new_order
        samples = Samples()
        for name, ask in asks.items():
            if kinds and name not in kinds:
                continue
            await ask()  # a first time without counting, because a process keeps what does not change
            for _ in range(MOST):
                samples.add(f"queries.{name}", await ask())
                if samples.steady:
                    break
        return samples.figures()

    async def _kinds(self) -> Mapping[str, tuple[str, Any]]:
        """Returns method and request of each kind. The next page needs the token of a first one."""
        customer = contract.OrderFilter(customer_ids=[self._orders[0].customer.customer_id])
        short = contract.SearchOrdersRequest(filter=customer, page_size=2)
        page = await self._stack.queries.SearchOrders(short, timeout=WITHIN_SECONDS)
        short.page_token = page.next_page_token
        words = contract.OrderFilter(text="chai koln", customer_ids=customer.customer_ids)
        number = contract.OrderFilter(text=page.orders[0].order_number)
        counted = [contract.ORDER_DIMENSION_STATE, contract.ORDER_DIMENSION_PRODUCT]
        month = [contract.ORDER_DIMENSION_MONTH]
        search, summarize = contract.SearchOrdersRequest, contract.SummarizeOrdersRequest
        return {
            "GetOrder": ("GetOrder", contract.GetOrderRequest(order_id=self._orders[0].order_id)),
            "SearchOrders of a customer": ("SearchOrders", search(filter=customer)),
            "SearchOrders by words": ("SearchOrders", search(filter=words)),
            "SearchOrders by number": ("SearchOrders", search(filter=number)),
            "SearchOrders with facets": ("SearchOrders", search(filter=customer, facets=counted)),
            "SearchOrders, next page": ("SearchOrders", short),
            "SummarizeOrders by state": ("SummarizeOrders", summarize(filter=customer, group_by=counted[:1])),
            "SummarizeOrders by product": ("SummarizeOrders", summarize(filter=customer, group_by=counted[1:])),
            "SummarizeOrders by month": ("SummarizeOrders", summarize(filter=customer, group_by=month)),
            "SummarizeOrders by month of a time zone": (
                "SummarizeOrders",
                summarize(filter=customer, group_by=month, time_zone="Europe/Berlin"),
            ),
        }

    async def _ask(self, method: str, request: Any) -> Figures:
        await self._counter.begin()
        await getattr(self._stack.queries, method)(request, timeout=WITHIN_SECONDS)
        return await self._counter.figures()

    async def _new_order(self) -> Figures:
        """Counts a search for an order that is readable, but not yet searchable."""
        placed = await self._flow.one_order(Samples(), "Bonn")
        request = contract.SearchOrdersRequest(filter=contract.OrderFilter(order_ids=[placed.order_id]))
        request.read_options.consistency_token = self._flow.consistency_token
        return await self._ask("SearchOrders", request)
