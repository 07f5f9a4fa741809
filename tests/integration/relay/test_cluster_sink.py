"""The sink on a stream with replicas: fenced as without, and no replica is left behind for good.

Mutants send a chain there, with the id of each predecessor (replicas break) or without (a gap), or batches that do not
say what they expect (repeated events).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest
from nats.errors import Error
from structlog.testing import capture_logs

import relay.stream.sink
from relay.events.errors import Closing, Refused, SessionClosed
from relay.events.message import Message
from relay.stream.publish_policy import PublishPolicy, batch_frames, chain_frames
from relay.stream.sink import JetStreamSink
from tests.conformance.event_source_suite import until_shown
from tests.fixtures.nats_cluster import SECONDS, NatsCluster
from tests.support.relay import streams
from tests.support.relay.sinks import (
    bodies,
    messages,
    numbered,
    opened,
    outcome,
    plan_for,
    send_all,
    sink_on,
    stale_twin,
    store,
    stranger_in_between,
    without,
)

STREAM, PREFIX = "REPLICATED", "replicated"
#: More than 8 MiB, at which a leader of NATS 2.15.1 puts a snapshot in the place of its log. It compresses what is
#: larger than 8 KiB.
SNAPSHOT_MESSAGES, SNAPSHOT_BYTES = 1_500, 7_000
ALL_MESSAGES = SNAPSHOT_MESSAGES + 300


class Chained(PublishPolicy):
    """A mutant that takes a cluster for a single server."""

    def __init__(self) -> None:
        super().__init__("chain")

    def begin(self, *, clustered: bool) -> None:
        """Hears nothing of the cluster."""
        del clustered
        super().begin(clustered=False)


def unlinked(batch: Sequence[Message], last: int, _: bytes | None, inbox: bytes, *, each: bool) -> list[bytes]:
    """A chain that names sequences only."""
    frames = chain_frames(batch, last, None, inbox, each=each)
    return [without(frame, b"Nats-Expected-Last-Msg-Id") for frame in frames]


def unfenced(batch: Sequence[Message], last: int, batch_id: bytes, inbox: bytes) -> list[bytes]:
    """A batch that expects nothing."""
    return [without(frame, b"Nats-Expected-Last-Sequence") for frame in batch_frames(batch, last, batch_id, inbox)]


async def ready_sink(cluster: NatsCluster, stream: str, prefix: str, policy: str | PublishPolicy) -> JetStreamSink:
    """A sink on a new stream with three replicas, which all servers have heard of: just made, it may have no leader."""
    sink = sink_on(cluster.url, plan_for(stream, prefix, replicas=3), policy)
    async with opened(sink):
        pass
    assert await cluster.level(stream)
    return sink


async def test_fences_hold_and_everything_arrives_in_order(nats_cluster: NatsCluster) -> None:
    """All on one cluster, each with a stream of its own."""
    url = nats_cluster.url
    sink = await ready_sink(nats_cluster, "ORDER", "order", "auto")
    for start in (0, 1_501):
        async with opened(sink) as session:
            await store(session, messages("order", range(start, start + 1_500)))
            await store(session, messages("order", [start + 1_500]))
    assert await bodies(url, "ORDER") == numbered(range(3_002))
    assert (await nats_cluster.info("ORDER"))["config"]["num_replicas"] == 3

    sink = await ready_sink(nats_cluster, "STRANGER", "stranger", "auto")
    assert await stranger_in_between(sink, url, "STRANGER", "stranger") == [*numbered(range(2)), b"stranger"]

    sink = await ready_sink(nats_cluster, "TWIN", "twin", "auto")
    assert await stale_twin(sink, url, "TWIN", "twin") == numbered(range(5))

    for stream in ("ORDER", "STRANGER", "TWIN"):
        assert await nats_cluster.level(stream)


async def test_what_a_batch_cannot_carry_goes_one_by_one(nats_cluster: NatsCluster) -> None:
    """A known id is named, and a stranger between two single messages leaves no gap."""
    url = nats_cluster.url
    sink = await ready_sink(nats_cluster, STREAM, PREFIX, "auto")
    async with opened(sink) as session:
        await store(session, messages(PREFIX, range(4)))
        await send_all(session, messages(PREFIX, [10, 2, 11]))
        assert (await outcome(session)).closing is Closing.FLIGHT
    async with opened(sink) as session:
        with pytest.raises(SessionClosed) as closed:
            await store(session, messages(PREFIX, [10, 2, 11]))
        known = session.refused_message(closed.value)
        assert closed.value.closing is Closing.DUPLICATE
        assert known is not None
        assert known.position == 2
    assert await bodies(url, STREAM) == numbered([0, 1, 2, 3, 10])
    async with opened(sink) as session:
        await streams.publish(url, f"{PREFIX}.stranger")
        with pytest.raises(SessionClosed) as closed:
            await store(session, messages(PREFIX, [11, 12, 13]))
        assert closed.value.closing is Closing.FENCED
    stored = await streams.read_all(url, STREAM)
    assert [message.body for message in stored] == [*numbered([0, 1, 2, 3, 10]), b"stranger"]
    assert "Nats-Batch-Id" not in stored[4].headers
    assert await nats_cluster.level(STREAM)


@pytest.mark.mutant
async def test_mutants_without_a_fence_leave_a_gap_or_repeat(
    nats_cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = nats_cluster.url
    with monkeypatch.context() as patched:
        patched.setattr(relay.stream.sink, "chain_frames", unlinked)
        sink = await ready_sink(nats_cluster, "GAP", "gap", Chained())
        stored = await stranger_in_between(sink, url, "GAP", "gap")
        assert stored == [*numbered(range(2)), b"stranger", *numbered(range(3, 6))]
    with monkeypatch.context() as patched:
        patched.setattr(relay.stream.sink, "batch_frames", unfenced)
        names = (f"{number}" for number in itertools.count())

        async def attempt() -> list[bytes]:
            name = next(names)
            sink = await ready_sink(nats_cluster, f"TWIN_{name}", f"twin_{name}", "auto")
            return await stale_twin(sink, url, f"TWIN_{name}", f"twin_{name}")

        # A server with too much to do forgets ids late, and tells nobody.
        await until_shown(attempt, lambda stored: stored == [*numbered(range(5)), *numbered(range(5))])


async def test_a_chain_is_refused_by_name(nats_cluster: NatsCluster) -> None:
    """Also on a stream without replicas, which may get some while the session lasts."""
    for replicas in (1, 3):
        plan = plan_for(f"CHAIN_{replicas}", f"chain_{replicas}", replicas=replicas)
        with pytest.raises(Refused, match=r"RELAY_PUBLISH=chain .* set RELAY_PUBLISH to auto or atomic"):
            async with opened(sink_on(nats_cluster.url, plan, "chain")):
                pass


async def carry(sink: JetStreamSink, end: int) -> None:
    """Stores messages up to the number `end`, in as many sessions as that takes: the leader may change at any time."""
    while True:
        try:
            async with opened(sink) as session:
                await store(session, messages(PREFIX, range(session.tail.last_sequence, end)))
                return
        except SessionClosed as closed:
            if closed.closing not in {Closing.UNAVAILABLE, Closing.FENCED}:
                raise


async def away_for_a_snapshot(cluster: NatsCluster, policy: str | PublishPolicy) -> None:
    """A replica is away until the others have forgotten the log that it would need, and takes a snapshot while a
    session goes on that began before."""
    sink = sink_on(cluster.url, plan_for(STREAM, PREFIX, replicas=3), policy, ack_timeout=20.0)
    await carry(sink, 100)
    away = await cluster.follower(STREAM)
    await away.kill()
    with contextlib.suppress(SessionClosed):
        async with opened(sink) as session:
            await store(session, messages(PREFIX, range(100, SNAPSHOT_MESSAGES), SNAPSHOT_BYTES))
            await away.restart()
            for number in range(SNAPSHOT_MESSAGES, ALL_MESSAGES, 20):
                await store(session, messages(PREFIX, range(number, number + 20)))
    await away.start()
    await carry(sink, ALL_MESSAGES)


async def test_a_replica_that_takes_a_snapshot_is_level_again_and_has_everything(nats_cluster: NatsCluster) -> None:
    await away_for_a_snapshot(nats_cluster, "auto")
    assert await nats_cluster.level(STREAM)
    contents = [await nats_cluster.own_content(server, STREAM) for server in nats_cluster.servers]
    assert [body.lstrip(b"0") for _, _, body in contents[0][1:]] == [b"%d" % n for n in range(1, ALL_MESSAGES)]
    assert contents[1] == contents[2] == contents[0]


@pytest.mark.mutant
async def test_mutant_whose_messages_name_their_predecessor_breaks_a_replica(nats_cluster: NatsCluster) -> None:
    """It never comes back: the server checks the id against what it remembers, which a snapshot does not have."""
    await breaks(nats_cluster, away_for_a_snapshot)


async def grown_under_a_session(cluster: NatsCluster, policy: str | PublishPolicy) -> None:
    """A stream of one replica gets three while a session lasts, which then goes on."""
    sink = sink_on(cluster.url, plan_for(STREAM, PREFIX), policy, ack_timeout=20.0)
    async with opened(sink) as session:
        await store(session, messages(PREFIX, range(1_000)))
        async with asyncio.timeout(SECONDS):
            while (await cluster.info(STREAM))["config"]["num_replicas"] != 3:
                with contextlib.suppress(Error):  # a server may not have been heard of for a while
                    await streams.update_stream(cluster.url, STREAM, num_replicas=3)
        assert await cluster.level(STREAM)
        with contextlib.suppress(SessionClosed):
            await store(session, messages(PREFIX, range(1_000, 1_040)))


async def test_a_stream_may_get_replicas_under_a_session(nats_cluster: NatsCluster) -> None:
    await grown_under_a_session(nats_cluster, "auto")
    sink = sink_on(nats_cluster.url, plan_for(STREAM, PREFIX), "auto")
    with capture_logs() as said:
        await carry(sink, 1_040)
        await carry(sink, 1_041)
    told = [line["event"] for line in said if "RELAY_STREAM_REPLICAS" in line["event"]]
    assert len(told) == 1
    assert told[0].startswith("stream REPLICATED has 3 replicas and RELAY_STREAM_REPLICAS is 1")
    assert await nats_cluster.level(STREAM)
    assert await bodies(nats_cluster.url, STREAM) == numbered(range(1_041))


@pytest.mark.mutant
async def test_mutant_that_looks_only_at_the_replicas_it_began_with_breaks_them(nats_cluster: NatsCluster) -> None:
    await breaks(nats_cluster, grown_under_a_session)


async def breaks(cluster: NatsCluster, work: Callable[[NatsCluster, PublishPolicy], Awaitable[None]]) -> None:
    """A chain at `work` leaves a replica behind. A session that ends too early, as by an election, shows nothing."""

    async def attempt() -> bool:
        try:
            async with asyncio.timeout(60):
                await work(cluster, Chained())
        except TimeoutError:
            pass  # without enough replicas nothing is stored any more
        if broken := await cluster.logged("last msgid mismatch", 10.0):
            assert not await cluster.level(STREAM, 1.0)
        else:
            await streams.delete_stream(cluster.url, STREAM)
        return broken

    await until_shown(attempt, lambda broken: broken)
