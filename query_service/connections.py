"""Opens what the processes and commands of the query service connect to, as the settings say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from query_service.application.ports.generations import Generations
from query_service.application.ports.order_source import OrderSource
from query_service.application.ports.read_store import ReadStore
from query_service.application.rebuilding.machine import Feed, feeds
from query_service.config import QuerySettings
from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection, connect_nats
from query_service.handlers.source.order_exports import OrderExports
from query_service.handlers.stream.consumer import ConsumerPlan
from service_runtime.process import StartupRefused

#: How long `migrate`, `await-schema` and `parked` and `rebuild` wait for NATS.
CONNECT_SECONDS = 10.0


@contextlib.asynccontextmanager
async def nats_connection(
    settings: QuerySettings, name: str, *, within: float | None = None
) -> AsyncIterator[NatsConnection]:
    """Yields a connection. Raises one of NATS_ERRORS when there is none `within` so many seconds."""
    async with asyncio.timeout(within):
        client = await connect_nats(settings.nats_url.get_secret_value(), name)
    try:
        yield client
    finally:
        with contextlib.suppress(*NATS_ERRORS):
            await client.flush(2)
        await client.close()


@contextlib.asynccontextmanager
async def order_source(settings: QuerySettings) -> AsyncIterator[OrderSource]:
    """Yields the write side's exports. Raises StartupRefused when the settings name no export service."""
    if not settings.export_address:
        raise StartupRefused("QUERY_EXPORT_ADDRESS is not set; set it to the command service's export listener")
    source = OrderExports(settings.export_address)
    try:
        yield source
    finally:
        await source.close()


def generations_of(store: ReadStore) -> Generations:
    """Returns the generations of a store. Raises StartupRefused for a store that has none."""
    if store.generations is None:
        raise StartupRefused(f"QUERY_READ_STORE={store.name}: this store cannot be rebuilt")
    return store.generations


async def wanted_feeds(store: ReadStore) -> list[Feed]:
    """Returns the generations of a store that projectors must feed now, the one that answers readers first."""
    generations = generations_of(store)
    # The rebuild first: a switch in between then shows the later generation, which both orders of them feed.
    stored = await generations.rebuild()
    return feeds(stored.rebuild, await generations.serving())


def consumer_plan(settings: QuerySettings, *, name: str = "", durable: bool = True) -> ConsumerPlan:
    """Returns the plan of the first generation's consumer."""
    return ConsumerPlan(
        stream=settings.stream,
        name=name or settings.consumer,
        ack_wait=settings.ack_wait_seconds,
        max_ack_pending=settings.max_ack_pending,
        durable=durable,
    )
