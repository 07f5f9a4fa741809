"""An event that the relay parks: readers learn it, a retry heals the order, a discard takes the record back."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import pytest
from tandem.orders.errors import OrderParked, ReadModelBehind
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service import bootstrap
from query_service.bootstrap import migrate
from relay.parking.command import ParkedQuestion, run_parked
from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.query_serving import Server, names, options, serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually
from tests.support.relay.relay_process import running
from tests.support.relay.world import World

__all__ = ["empty_read_side"]
NO_SUBJECT = "not a subject"


async def record(world: World, *events: PublishedEvent, event_type: str | None = None) -> None:
    """Commits events as the command service does; `event_type` replaces the type in the row."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        for event in events:
            text = event.body.decode()
            recorded, _, rest = text.removeprefix('{"headers":').partition(',"payload":')
            payload, _, rest = rest.partition(',"personal":')
            personal, _, salt = rest.removesuffix('"}').rpartition(',"salt":"')
            digest = hashlib.sha256(bytes.fromhex(salt) + personal.encode()).digest()
            hashed = urlsafe_b64decode(event.headers["Tandem-Hash"] + "=")
            await connection.execute(
                "INSERT INTO outbox (event_id, aggregate_id, aggregate_version, event_type, payload, personal, salt,"
                " personal_digest, headers, hash) VALUES (%s, %s, %s, %s, %s, %s, decode(%s, 'hex'), %s, %s, %s)",
                [
                    event.event_id, event.order_id, event.version, event_type or event.event_type, payload, personal,
                    salt, digest, recorded, hashed,
                ],
            )  # fmt: skip


async def put_right(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        await connection.execute("UPDATE outbox SET event_type = 'ORDER_REVISED' WHERE event_type = %s", [NO_SUBJECT])


async def by_relay(world: World, action: str, order_id: str = "") -> Any:
    """Runs `relay parked`; returns its outcome, or the ids of the parked orders."""
    report = await run_parked(world.configured(), ParkedQuestion(action, order_id, wait=120), patience_seconds=120)
    assert report.exit_code == 0, report.error
    return report.document.get("outcome") or {
        (one["aggregate_id"], one["events"]) for one in report.document.get("parked", [])
    }


async def by_projection(side: ReadSide) -> Sequence[tuple[str | None, int, str]]:
    """The parked events that the read side knows: (order, version, reason)."""
    return sorted((one.order_id, one.version, str(one.reason)) for one in await side.store.parked_events())


async def answered(server: Server, event: PublishedEvent) -> contract.GetOrderResponse:
    """Reads the order with the token of the event's command, again while the read model is late."""
    while True:
        try:
            return await server.get(event.order_id, read_options=options(names(event), 5))
        except ReadModelBehind:
            continue


async def test_what_the_relay_parks_readers_know(
    postgres_database: str, nats_url: str, empty_read_side: ReadSide, unused_tcp_port: int
) -> None:
    side = empty_read_side
    world = await World.make(postgres_database, nats_url, side.stream, f"{side.subject}.v1")
    order, other = an_order(), published(an_order())
    first, second, third, fourth, fifth, sixth = (
        published(an_order(order.order_id, version)) for version in range(1, 7)
    )
    async with running(world.relay()) as relay:
        await world.drained(relay)
        await migrate(side.settings())
        async with side.projecting(), serving(side, unused_tcp_port) as server:

            async def parked(*versions: int) -> bool:
                """Whether both sides know these versions of the order as parked, and nothing else."""
                wanted = [(order.order_id, version, "PARKED_BY_RELAY") for version in versions]
                listed = {(order.order_id, len(versions))} if versions else set()
                return await by_projection(side) == wanted and await by_relay(world, "list") == listed

            await record(world, first)
            await answered(server, first)
            await record(world, second, event_type=NO_SUBJECT)
            await record(world, third, other)
            await eventually(partial(parked, 2, 3), "versions 2 and 3 parked on both sides")

            with pytest.raises(OrderParked):
                await answered(server, third)
            stale = await server.get(order.order_id)
            assert (stale.order.version, stale.read_info.parked) == (1, True)
            found = await answered(server, other)
            assert not found.read_info.parked
            report = await bootstrap.parked(side.settings(), "retry", order.order_id)
            assert (report.exit_code, {one["outcome"] for one in report.entries}) == (1, {"HELD_BY_RELAY"})

            await put_right(world)
            assert await by_relay(world, "retry", order.order_id) == "published 2 events"
            await eventually(parked, "no parked event on either side")
            healed = await answered(server, third)
            assert (healed.order, healed.read_info.parked) == (third.order, False)
            assert None not in await side.store.entries(order.order_id, [1, 2, 3])

            await record(world, fourth, event_type=NO_SUBJECT)
            await record(world, fifth)
            await eventually(partial(parked, 4, 5), "versions 4 and 5 parked on both sides")
            with pytest.raises(OrderParked):
                await answered(server, fifth)
            assert await by_relay(world, "discard", order.order_id) == "discarded 2 events"
            await eventually(parked, "no parked event on either side")
            with pytest.raises(ReadModelBehind):
                await server.get(order.order_id, read_options=options(names(fifth), 0.1))
            await record(world, sixth)
            found = await answered(server, fifth)
            assert (found.order, found.read_info.parked) == (sixth.order, False)
        await relay.stop()
