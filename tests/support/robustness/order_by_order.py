"""Compares write model and read model, order by order and field by field."""

from __future__ import annotations

import asyncio

import psycopg
from google.protobuf.json_format import Parse
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData
from tandem.orders.v1.order_types_pb2 import Order

from tests.fixtures.system import System
from tests.support.robustness.reading import read_with_token

HEADS = """
SELECT o.order_id::text, o.version, e.payload::text, e.personal::text
FROM orders o JOIN outbox e ON e.aggregate_id = o.order_id AND e.aggregate_version = o.version
"""


async def write_model(database_url: str) -> dict[str, Order]:
    """Returns every order as the write side has it: the latest event's order with its personal data."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await (await connection.execute(HEADS)).fetchall()
    orders = {}
    for order_id, version, payload, personal in rows:
        order = Parse(payload, OrderEvent()).order
        assert order.version == version
        data = Parse(personal, OrderPersonalData())
        order.customer.display_name = data.customer_display_name
        order.customer.email = data.customer_email
        order.customer.phone = data.customer_phone
        order.billing_address.CopyFrom(data.billing_address)
        order.shipping_address.CopyFrom(data.shipping_address)
        orders[order_id] = order
    return orders


async def differing_orders(system: System) -> list[str]:
    """Waits for each version; returns the ids of orders that differ between read side and write side."""
    expected = await write_model(system.postgres_url)
    gate = asyncio.Semaphore(16)

    async def differs(order_id: str, order: Order) -> bool:
        token = encode(ConsistencyToken(1, {order_id: order.version}))
        async with gate:
            return await read_with_token(system, order_id, token) != order

    ids = list(expected)
    found = await asyncio.gather(*(differs(order_id, expected[order_id]) for order_id in ids))
    return [order_id for order_id, wrong in zip(ids, found, strict=True) if wrong]
