"""A stream on three servers, under load: its leaders are killed, replicas stay away until they need a snapshot.

Each event is in the stream once and in order, all replicas are level at the end and equal message by message, and the
read side's consumer, which is replicated with the stream, delivers everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from query_service.application.ports.read_store import StoreIdentity
from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection, connect_nats
from query_service.handlers.stream.consumer import ConsumerPlan, consumer_state, ensure_consumer
from query_service.handlers.stream.pull import StreamPull
from relay.stream.jetstream_api import parse_headers
from tests.fixtures.nats_cluster import SECONDS, NatsCluster
from tests.fixtures.postgres import database
from tests.robustness.test_relay_frozen import stop_and_wake
from tests.support.chance import new_seed, tell
from tests.support.relay.judge import judge
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

STREAM = "ORDERS"
#: Together more than the 8 MiB at which a leader puts a snapshot in the place of its log. It compresses what is larger
#: than 8 KiB.
SNAPSHOT_ROWS = 1_600
SNAPSHOT_VALUES = """gen_random_uuid(), 1, ('{"x":"' || repeat('x', 5800) || '"}')::json"""
#: The mutant: a chain with the id of each predecessor, also in a cluster.
CHAINED = """
from relay.stream.publish_policy import PublishPolicy
begin = PublishPolicy.begin
PublishPolicy.begin = lambda self, *, clustered: begin(self, clustered=False)
"""


class Reader:
    """A projector's way to the stream: acknowledges all it is given, and notes it."""

    def __init__(self, pull: StreamPull) -> None:
        self._pull = pull
        self.seen: set[int] = set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pull.run())
            while True:
                for delivery in await self._pull.batch(500, 1 << 20, 0.001):
                    self.seen.add(delivery.sequence)
                    await delivery.ack()


async def ack_floor(client: NatsConnection, plan: ConsumerPlan) -> int:
    """Up to where everything is acknowledged, as far as is known; patient while the consumer has no leader."""
    with contextlib.suppress(*NATS_ERRORS):
        state = await consumer_state(client, plan)
        return state.ack_floor if state is not None else 0
    return 0


@contextlib.asynccontextmanager
async def reading(cluster: NatsCluster) -> AsyncIterator[Reader]:
    """A durable consumer with as many replicas as its stream, read while the block runs; at its end everything has been
    delivered and is acknowledged."""
    plan = ConsumerPlan(STREAM, "readers", ack_wait=5.0, max_ack_pending=10_000)
    client = await connect_nats(cluster.url, "reader")
    try:
        await ensure_consumer(client, plan, StoreIdentity("model", "generation"), None)
        info = await client.jetstream().consumer_info(STREAM, plan.name)
        assert info.cluster is not None
        assert len(info.cluster.replicas or []) == 2
        reader = Reader(StreamPull(client, plan, capacity=1_000))
        task = asyncio.create_task(reader.run())
        try:
            yield reader
            last = (await cluster.info(STREAM))["state"]["last_seq"]
            async with asyncio.timeout(SECONDS):
                while await ack_floor(client, plan) < last:
                    assert not task.done(), task
                    await asyncio.sleep(0.1)
        finally:
            task.cancel()
            await asyncio.wait([task])
        missing = set(range(1, last + 1)) - reader.seen  # the relay may have stored a barrier or two since
        assert not missing
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def under_load(
    world: World, cluster: NatsCluster, prelude: str = "", **settings: str
) -> AsyncIterator[tuple[RelayProcess, Writers]]:
    """A relay and about 45 events a second, which go on until the writers are told to finish."""
    work = Writers(world.database_url, seed=new_seed(), count=4, aggregates=50, pause=0.15)
    relay = world.relay(prelude=prelude, stream_replicas="3", **settings)
    async with running(relay), work.writing():
        await relay.stored(20)
        yield relay, work


async def kill_the_leader(cluster: NatsCluster, world: World, relay: RelayProcess, rows: int) -> float:
    """Kills the stream's leader, which comes back later, in the middle of large batches when there are `rows` to carry;
    seconds until the relay has stored messages again."""
    leader = await cluster.leader(STREAM)
    if rows:
        await world.insert(rows)
        await relay.stored(rows // 4)
    began = time.monotonic()
    await leader.kill()
    await relay.stored(5)
    took = time.monotonic() - began
    await leader.restart()
    while not all(
        one["current"] and not one.get("offline") for one in (await cluster.info(STREAM))["cluster"]["replicas"]
    ):
        await asyncio.sleep(0.1)
    return took


async def away(cluster: NatsCluster, world: World, relay: RelayProcess, seconds: float) -> None:
    """A replica is away so long, or else until the others have a snapshot in the place of the log it would need."""
    server = await cluster.follower(STREAM)
    await server.kill()
    if seconds:
        await asyncio.sleep(seconds)  # how long is what this is about
    else:
        await world.insert(SNAPSHOT_ROWS, values=SNAPSHOT_VALUES)
        await relay.stored(SNAPSHOT_ROWS)
    await server.restart()
    await relay.stored(20)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kills", "rows", "absences", "seconds"),
    [
        (3, 500, 1, 0.0),
        pytest.param(20, 0, 0, 0.0, marks=pytest.mark.long),
        pytest.param(5, 20_000, 0, 0.0, marks=pytest.mark.long),
        pytest.param(0, 0, 2, 140.0, marks=pytest.mark.long),
    ],
)
async def test_leaders_killed_and_replicas_away(
    postgres_database: str, nats_cluster: NatsCluster, kills: int, rows: int, absences: int, seconds: float
) -> None:
    world = await World.make(postgres_database, nats_cluster.url, STREAM, "orders")
    pauses: list[float] = []
    async with under_load(world, nats_cluster) as (relay, work):
        async with reading(nats_cluster):
            for turn in range(kills):
                pauses.append(await kill_the_leader(nats_cluster, world, relay, rows))
                tell(f"leader killed {turn + 1} times, this one stopped publishing for {pauses[-1]:.1f} s")
            for turn in range(absences):
                await away(nats_cluster, world, relay, seconds)
                tell(f"a replica was away {turn + 1} times")
            await work.finish()
            await world.drained(relay)
        assert "idle-session" not in relay.text  # its own waiting never ended the leader's session
        assert '"kind": "database"' not in relay.text
    if pauses:
        tell(f"pause of publishing: median {statistics.median(pauses):.1f} s, longest {max(pauses):.1f} s")
    assert await nats_cluster.level(STREAM)
    contents = [await nats_cluster.own_content(server, STREAM) for server in nats_cluster.servers]
    assert contents[1] == contents[2] == contents[0]
    headers = [parse_headers(block) for _, block, _ in contents[0]]
    events = [(one["ce-subject"], int(one["Tandem-Version"])) for one in headers if "ce-id" in one]
    verdict = judge(await world.committed(), events)
    tell(str(verdict))
    assert verdict.clean, verdict


@pytest.mark.mutant
@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_mutant_that_chains_in_a_cluster_leaves_a_replica_behind(
    postgres_database: str, nats_cluster: NatsCluster
) -> None:
    world = await World.make(postgres_database, nats_cluster.url, STREAM, "orders")
    async with under_load(world, nats_cluster, CHAINED, publish="chain") as (relay, work):
        await away(nats_cluster, world, relay, 0.0)
        assert await nats_cluster.logged("last msgid mismatch")
        await work.finish()
    assert not await nats_cluster.level(STREAM, 1.0)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_woken_leader_steps_down_in_a_cluster_too(postgres_url: str, nats_cluster: NatsCluster) -> None:
    for turn in range(3):
        async with database(postgres_url) as url:
            world = await World.make(url, nats_cluster.url, f"WOKEN_{turn}", f"woken_{turn}")
            world.settings["RELAY_STREAM_REPLICAS"] = "3"
            await stop_and_wake(world, "auto", 8)
            assert await nats_cluster.level(world.stream)
