"""Paging over gRPC while orders arrive and change through the stream: no order twice, none that stood still missing."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

import pytest
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from tests.support.queries.order_events import START, money, published, timestamp
from tests.support.queries.query_client import SEARCH, Client, client, whose
from tests.support.queries.read_side import ReadSide, shared_read_side

__all__ = ["client", "shared_read_side"]

Found = TypeVar("Found")
LISTED, ARRIVING, CHANGING, PAGE = 5_000, 500, 500, 100


class Shop:
    """Orders that arrive and change through the stream."""

    def __init__(self, side: ReadSide, customer: str, seed: int) -> None:
        self.side, self.customer, self.chance = side, customer, random.Random(seed)
        self.orders: dict[str, types.Order] = {}
        self.changed: set[str] = set()
        self.arrived = 0

    async def arrive(self, count: int) -> None:
        self.arrived += count
        orders = [self._order() for _ in range(count)]
        self.orders.update({order.order_id: order for order in orders})
        await self._publish(orders)

    async def change(self, count: int) -> None:
        orders = [self.orders[order_id] for order_id in self.chance.sample(sorted(self.orders), count)]
        for order in orders:
            order.version += 1
            order.total.CopyFrom(money(self.chance.randrange(1_000)))
            order.update_time.FromSeconds(order.update_time.seconds + 10_000_000)
        self.changed.update(order.order_id for order in orders)
        await self._publish(orders)

    def _order(self) -> types.Order:
        return types.Order(
            order_id=str(uuid.UUID(int=self.chance.getrandbits(128))),
            order_number=f"SO-{self.chance.randrange(10**9)}",
            version=1,
            state=types.ORDER_STATE_PLACED,
            customer=types.Customer(customer_id=self.customer),
            currency_code="EUR",
            total=money(self.chance.randrange(1_000)),
            place_time=timestamp(START + timedelta(minutes=self.chance.randrange(1_000))),
            update_time=timestamp(START + timedelta(minutes=self.chance.randrange(1_000))),
        )

    async def _publish(self, orders: Iterable[types.Order]) -> None:
        events = [published(order) for order in orders]
        for chunk in _batched(events, 100):
            await asyncio.gather(*(self.side.publish(event) for event in chunk))

    async def all_searchable(self, client: Client) -> None:
        """Waits until the read side shows every order as it is now."""
        for chunk in _batched(list(self.orders.values()), 64):
            versions = {order.order_id: order.version for order in chunk}
            options = contract.ReadOptions(consistency_token=encode(ConsistencyToken(1, versions)))
            options.max_wait.FromSeconds(5)
            await client.search(filter=whose(self.customer), page_size=1, read_options=options)


def _batched(items: Sequence[Found], size: int) -> Iterable[Sequence[Found]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@pytest.mark.parametrize("sort", [contract.ORDER_SORT_PLACE_TIME_DESC, contract.ORDER_SORT_TOTAL_DESC])
async def test_paging_while_orders_arrive_and_change(
    shared_read_side: ReadSide, client: Client, sort: contract.OrderSort.ValueType
) -> None:
    """No order twice, none that stood still missing."""
    shop = Shop(shared_read_side, f"SHOP-{sort}", seed=sort)
    await shop.arrive(LISTED)
    await shop.all_searchable(client)
    before, steps = set(shop.orders), LISTED // PAGE
    shop.arrived = 0

    async def between() -> None:
        if shop.arrived < ARRIVING:
            await shop.arrive(ARRIVING // steps)
            await shop.change(CHANGING // steps)

    request = SEARCH(filter=whose(shop.customer), sort=sort, page_size=PAGE)
    seen = await client.all_pages(request, between)
    assert shop.arrived == ARRIVING
    assert len(seen) == len(set(seen))
    assert not before - shop.changed - set(seen)
