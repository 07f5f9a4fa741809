"""Fills a system's write model with many orders, and compares a generation of the read model with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import nats
import psycopg
from elasticsearch import AsyncElasticsearch

from bench.reads.order_messages import SAMPLES
from bench.reads.recorded_orders import record_orders
from tests.fixtures.system import System
from tests.support.commands.orders import place_order_request

CALLERS = 8
#: Each copied order is found by its order number, which is M and a number. Its lines are those of the sample order.
_LINES = (
    "INSERT INTO order_lines SELECT (jsonb_populate_record(l, jsonb_build_object('order_id', c.order_id))).*"
    " FROM (SELECT order_id, substr(order_number, 2)::bigint AS number FROM orders WHERE order_number ~ '^M[0-9]+$') c"
    " JOIN (SELECT aggregate_id, row_number() OVER (ORDER BY position) - 1 AS number FROM outbox"
    " WHERE aggregate_version = 1 ORDER BY position LIMIT %(samples)s) e ON e.number = c.number %% %(samples)s"
    " JOIN order_lines l ON l.order_id = e.aggregate_id WHERE c.number %% %(every)s = 0"
)
#: Copied orders that have lines, and can be changed therefore, at most.
CHANGEABLE = 20_000


async def fill_write_model(system: System, orders: int, seed: int) -> tuple[list[str], list[str]]:
    """Places some orders, copies them until there are `orders`, and waits until the relay has published all of them.

    Returns orders that can be changed, and all of them or a part of them, both spread over all ids.
    """
    source = random.Random(seed)
    requests = [place_order_request(source) for _ in range(min(orders, SAMPLES))]

    async def caller(number: int) -> None:
        for request in requests[number::CALLERS]:
            await system.commands.PlaceOrder(request, timeout=60)

    await asyncio.gather(*map(caller, range(CALLERS)))
    await record_orders(system.postgres_url, orders)
    every = max(1, orders // CHANGEABLE)
    async with await psycopg.AsyncConnection.connect(system.postgres_url, autocommit=True) as connection:
        await connection.execute(_LINES, {"samples": SAMPLES, "every": every})
        await connection.execute("ANALYZE")
        rows = await connection.execute(
            "SELECT o.order_id::text, EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.order_id) FROM orders o"
        )
        found = await rows.fetchall()
    await _published(system, orders)
    return [order_id for order_id, has_lines in found if has_lines], [order_id for order_id, _ in found]


async def _published(system: System, events: int) -> None:
    """Waits until the stream has all events. Messages that the stream has counted already are not counted again."""
    connection = await nats.connect(system.nats_url)
    try:
        subject = f"{system.subject_prefix}.*.*"
        while True:
            info = await connection.jetstream(timeout=60).stream_info(system.stream, subjects_filter=subject)
            if sum((info.state.subjects or {}).values()) >= events:
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def written_orders(system: System) -> tuple[int, Mapping[int, int]]:
    """Returns the number of events of the write model, and its orders by version."""
    async with await psycopg.AsyncConnection.connect(system.postgres_url) as connection:
        events = await (await connection.execute("SELECT count(*) FROM outbox")).fetchone()
        rows = await connection.execute("SELECT version, count(*) FROM orders GROUP BY version")
        assert events is not None
        return events[0], dict(await rows.fetchall())


async def read_orders(
    system: System, generation: str, versions: Mapping[str, int]
) -> tuple[int, Mapping[int, int], Mapping[str, int]]:
    """Returns the number of a generation's journal entries, its orders by version, and the versions of some orders."""
    orders, entries = (f"{system.index_prefix}{name}-{generation}" for name in ("orders", "order-events"))
    async with AsyncElasticsearch(system.elasticsearch_url, request_timeout=120) as client:
        await client.indices.refresh(index=[orders, entries])
        counted = await client.count(index=entries)
        by_version = await client.search(
            index=orders, size=0, aggregations={"versions": {"terms": {"field": "version", "size": 10_000}}}
        )
        ids, found = list(versions), dict[str, int]()
        for begin in range(0, len(ids), 1_000):
            page = await client.mget(index=orders, ids=ids[begin : begin + 1_000], source_includes=["version"])
            found |= {one["_id"]: one["_source"]["version"] for one in page["docs"] if one["found"]}
    buckets = by_version["aggregations"]["versions"]["buckets"]
    return counted["count"], {bucket["key"]: bucket["doc_count"] for bucket in buckets}, found
