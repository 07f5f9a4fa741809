"""NATS, Elasticsearch, projector, relay: each away for a while under load. Readers are told, and commands go on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from elasticsearch import AsyncElasticsearch
from tandem.orders.errors import DependencyUnavailable, from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, ReleaseOrderRequest
from tandem.orders.v1.order_types_pb2 import Order

from devstack.servers import ElasticsearchServer, NatsServer
from query_service.bootstrap import migrate
from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats
from tests.fixtures.system import System, running_system
from tests.support.commands.orders import place_order_request
from tests.support.queries.order_events import START
from tests.support.queries.projector_checks import events_of, floor_reaches, is_complete
from tests.support.queries.read_side import eventually, read_side_on
from tests.support.robustness.ledger import Ledger
from tests.support.robustness.validate import Findings, validate

COMMANDS_PER_SECOND = 50
#: As many commands at once: a loaded machine cannot answer so many a second, and would refuse them in the end.
MOST_AT_ONCE = 50
#: The deadline of a reader's call, in seconds, and what grpc may take to tell that it is over.
DEADLINE, SLACK = 20.0, 20.0


class SteadyLoad:
    """Up to so many commands a second, each answered once: here nothing that commands need goes away."""

    def __init__(self, system: System, ledger: Ledger, seed: int) -> None:
        self._system, self._ledger, self._source = system, ledger, random.Random(seed)
        self._orders: list[Order] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._running = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block; raises what a command was refused with."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await asyncio.gather(*self._calls)

    async def _run(self) -> None:
        while True:
            if self._running < MOST_AT_ONCE:
                self._calls.add(asyncio.create_task(self._counted()))
            await asyncio.sleep(1 / COMMANDS_PER_SECOND)

    async def _counted(self) -> None:
        self._running += 1
        try:
            await self._command()
        finally:
            self._running -= 1

    async def _command(self) -> None:
        commands = self._system.commands
        request_id = str(uuid.UUID(int=self._source.getrandbits(128), version=4))
        if len(self._orders) < 20 or self._source.random() < 0.3:
            placed = await commands.PlaceOrder(place_order_request(self._source), timeout=60)
            self._ledger.acknowledge(placed.order, placed.consistency_token)
            self._orders.append(placed.order)
            return
        # taken out while it is changed, so that no two commands meet
        order = self._orders.pop(self._source.randrange(len(self._orders)))
        if order.on_hold:
            release = ReleaseOrderRequest(request_id=request_id, order_id=order.order_id)
            released = await commands.ReleaseOrder(release, timeout=60)
            self._ledger.acknowledge(released.order, released.consistency_token)
            self._orders.append(released.order)
            return
        hold = HoldOrderRequest(request_id=request_id, order_id=order.order_id)
        held = await commands.HoldOrder(hold, timeout=60)
        self._ledger.acknowledge(held.order, held.consistency_token)
        self._orders.append(held.order)


@dataclass
class World:
    """A system under load, over servers of its own; without `elasticsearch` over one that stays."""

    system: System
    ledger: Ledger
    nats: NatsServer
    elasticsearch: ElasticsearchServer | None
    #: An order that was readable before anything went away.
    known: str = ""

    async def read(self) -> contract.GetOrderResponse:
        """The known order, without a token; within the deadline, whatever it is."""
        asked = time.monotonic()
        try:
            request = contract.GetOrderRequest(order_id=self.known)
            return await self.system.queries.GetOrder(request, timeout=DEADLINE)
        finally:
            assert time.monotonic() - asked < DEADLINE + SLACK

    async def staleness(self) -> float:
        """What a read says of itself, in seconds."""
        info = (await self.read()).read_info
        return float(info.staleness.seconds + info.staleness.nanos / 1e9)

    async def fresh(self) -> bool:
        """Whether the read side has caught up."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await self.staleness() < 3
        return False

    async def lists_know(self) -> bool:
        """Whether lists say how old they are, which they learn from the first refresh."""
        listed = await self.system.queries.SearchOrders(contract.SearchOrdersRequest(page_size=1), timeout=DEADLINE)
        return listed.read_info.HasField("as_of")

    async def progress(self) -> None:
        """Returns when commands have gone on."""
        before = self.ledger.acknowledged
        await eventually(lambda: _reached(self.ledger, before + 20), "commands go on")


async def _reached(ledger: Ledger, count: int) -> bool:
    return ledger.acknowledged >= count


async def staleness_grows(world: World, seconds: float) -> None:
    """While it is away: reads go on and say how old they are, never less than the time it is away, two seconds off."""
    away_since = time.monotonic()
    last = 0.0
    while time.monotonic() - away_since < seconds or last < 3:
        asked = time.monotonic() - away_since
        last = await world.staleness()
        assert last > asked - 2, f"{asked:.1f} s away and said to be {last:.1f} s old"
        listed = await world.system.queries.SearchOrders(contract.SearchOrdersRequest(page_size=1), timeout=DEADLINE)
        info = listed.read_info
        assert info.HasField("as_of")
        assert info.staleness.seconds + 1 > asked - 2
        assert len(listed.orders) == 1
        await asyncio.sleep(0.1)
    await world.progress()


async def unavailable(world: World, seconds: float) -> None:
    """While Elasticsearch is away: every question is refused in time, and nothing is said to be missing."""
    away_since, refused = time.monotonic(), 0
    while time.monotonic() - away_since < seconds or refused < 10:
        try:
            await world.read()
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if not isinstance(refusal, DependencyUnavailable):
                raise refusal from None
            refused += 1
        await asyncio.sleep(0.1)
    await world.progress()


async def without_nats(world: World, seconds: float) -> None:
    await world.nats.kill()
    await staleness_grows(world, seconds)
    await world.nats.start()


async def without_elasticsearch(world: World, seconds: float) -> None:
    assert world.elasticsearch is not None
    await world.elasticsearch.kill()
    await unavailable(world, seconds)
    await world.elasticsearch.start()


async def without_projector(world: World, seconds: float) -> None:
    with world.system.paused("query-project"):
        await staleness_grows(world, seconds)


async def without_relay(world: World, seconds: float) -> None:
    with world.system.paused("relay"):
        await staleness_grows(world, seconds)


Outage = Callable[[World, float], Awaitable[None]]
OUTAGES: tuple[Outage, ...] = (without_projector, without_relay, without_nats)


async def idle(world: World) -> None:
    """Without any command `as_of` goes on: an idle shop is not stale."""
    first = (await world.read()).read_info.as_of.ToMicroseconds()

    async def later() -> bool:
        return (await world.read()).read_info.as_of.ToMicroseconds() >= first + 3_000_000

    await eventually(later, "as_of goes on in an idle shop")
    await eventually(world.fresh, "an idle shop is fresh")


async def outages(world: World, seconds: float) -> None:
    """The test: each away in turn, then the books."""
    load = SteadyLoad(world.system, world.ledger, seed=6)
    async with load.running():
        await world.progress()
        world.known = next(iter(world.ledger.orders))
        await eventually(world.fresh, "the read side has caught up")
        await eventually(world.lists_know, "lists know how fresh they are")
        for outage in OUTAGES if world.elasticsearch is None else (*OUTAGES, without_elasticsearch):
            started = time.monotonic()
            await outage(world, seconds)
            print(f"{outage.__name__}: {time.monotonic() - started:.1f} s, {world.ledger.acknowledged} acknowledged")
            await eventually(world.fresh, "the read side has caught up", within=240)
    assert await validate(world.system, world.ledger) == Findings()
    status = await world.system.queries.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=DEADLINE)
    assert status.parked_orders == 0
    assert {lag.stage for lag in status.stages} == {"published", "received", "applied", "searchable"}
    await idle(world)


@pytest.mark.timeout(900)
async def test_each_is_away_for_a_moment(
    postgres_url: str, private_nats: PrivateNats, elasticsearch_url: str, tmp_path: Path
) -> None:
    """That questions are refused without Elasticsearch is seen elsewhere; to stop and start it takes long."""
    nats = await private_nats()
    async with running_system(postgres_url, nats.url, elasticsearch_url, tmp_path) as system:
        await outages(World(system, Ledger(), nats, None), 0)


async def _limit(client: AsyncElasticsearch, limit: str | None) -> None:
    """The most bytes of requests that the server has in hand before it refuses more."""
    # a bulk that is read piece by piece is not counted
    pieces = None if limit is None else False
    settings: dict[str, Any] = {"network.breaker.inflight_requests.limit": limit, "rest.incremental_bulk": pieces}
    await client.cluster.put_settings(persistent=settings)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_an_overloaded_store_is_waited_for(
    nats_url: str, private_elasticsearch: PrivateElasticsearch, tmp_path: Path
) -> None:
    """It says 429: the projector waits and names that, drops nothing, parks nothing."""
    url = (await private_elasticsearch()).url
    events = events_of(20, 2)
    async with read_side_on(nats_url, url, tmp_path) as side, AsyncElasticsearch(url, request_timeout=120) as client:
        await side.create_stream()
        await migrate(side.settings())
        async with side.process("project", bulk_events=10) as projector:
            await projector.wrote('"event": "projecting"')
            await _limit(client, "4kb")
            try:
                await side.publish(*events)
                await side.publish_barrier(START)
                await projector.wrote("429 circuit_breaking_exception")
                assert await side.ack_floor() == 0
            finally:
                await _limit(client, None)
            await eventually(lambda: floor_reaches(side, len(events) + 1), "everything acknowledged", within=60)
            assert await is_complete(side, events)
            assert await side.store.parked_events() == []
            assert projector.process.returncode is None


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_each_is_away_for_twenty_seconds(
    postgres_url: str, private_nats: PrivateNats, private_elasticsearch: PrivateElasticsearch, tmp_path: Path
) -> None:
    nats, elasticsearch = await asyncio.gather(private_nats(), private_elasticsearch())
    async with running_system(postgres_url, nats.url, elasticsearch.url, tmp_path) as system:
        await outages(World(system, Ledger(), nats, elasticsearch), 20)
