"""A leader is stopped and wakes up: the lock has gone to another one, and what it still holds must be refused."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from devstack.servers import NatsServer
from tests.fixtures.postgres import database
from tests.fixtures.private_servers import PrivateNats
from tests.support.chance import new_seed, tell
from tests.support.relay import streams
from tests.support.relay.judge import Verdict
from tests.support.relay.log_mode import KNOWN, in_mode
from tests.support.relay.relay_process import running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

#: Takes the expected sequence and the predecessor's id out of every publish.
UNFENCED = """
import relay.stream.sink as sink
fenced = sink.chain_frames
def unfenced(messages, last_sequence, last_id, inbox, *, each):
    frames = []
    for number, frame in enumerate(fenced(messages, last_sequence, None, inbox, each=each)):
        for header in (b"Nats-Expected-Last-Sequence: ", b"Nats-Expected-Last-Msg-Id: "):
            head, _, rest = frame.partition(b"\\r\\n")
            start = rest.find(header)
            if start < 0:
                continue
            end = rest.index(b"\\r\\n", start) + 2
            *words, length, total = head.split()
            sizes = (int(length) - end + start, int(total) - end + start)
            frame = b"%b %d %d\\r\\n%b" % (b" ".join(words), *sizes, rest[:start] + rest[end:])
        frames.append(frame)
    return frames
sink.chain_frames = unfenced
"""
PAYLOAD_BYTES = 20_000
ROWS = 2_000


async def stop_and_wake(world: World, mode: str, writers: int) -> float:
    """Stops a leader at work, lets another take over, and wakes it; seconds until the other one publishes."""
    work = Writers(world.database_url, seed=new_seed(), count=writers, aggregates=50)
    async with running(world.relay(mode=mode)) as leader, work.writing() as ledger:
        await in_mode(leader, "poll" if mode == "poll" else "wal")
        await leader.stored(50)
        async with running(world.relay(mode=mode)) as standby:
            await standby.wait_for_state("STANDBY")
            leader.signal(signal.SIGSTOP)
            began = time.monotonic()
            await standby.wait_for_state("PUBLISHING")
            took = time.monotonic() - began
            await standby.stored(50)
            leader.signal(signal.SIGCONT)
            await leader.wait_for_state("STANDBY")
            await standby.stored(50)
            await work.finish()
            await world.drained(standby)
            page = await leader.page()
            assert page["leader"] is False
            assert page["last_error"]
            assert KNOWN not in standby.text
    verdict = await world.verdict(ledger)
    tell(f"{verdict}; takeover from a stopped leader {took:.1f} s")
    assert verdict.clean, verdict
    order = streams.terms(await world.messages())
    assert order == sorted(order)
    return took


async def test_a_woken_leader_steps_down_and_the_stream_stays_one_order(world: World) -> None:
    await stop_and_wake(world, "auto", 8)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["auto", "poll"])
async def test_a_stopped_leader_is_replaced_within_eight_seconds(
    postgres_url: str, nats_url: str, stream_name: str, mode: str
) -> None:
    for turn in range(10):
        async with database(postgres_url) as url:
            name = f"{stream_name}_{turn}"
            assert await stop_and_wake(await World.make(url, nats_url, name, name.lower()), mode, 64) < 8


async def wake_with_full_buffers(server: NatsServer, world: World, prelude: str = "") -> None:
    """Stops a leader while its own buffers are full of messages, and wakes it when another one has published them."""
    async with running(
        world.relay(prelude=prelude, publish="chain", window_bytes=str(64 << 20), ack_timeout_seconds="60")
    ) as leader:
        await leader.wait_for_state("PUBLISHING")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await world.insert(
                ROWS, values=f"gen_random_uuid(), 1, ('\"' || repeat('x', {PAYLOAD_BYTES}) || '\"')::json"
            )
            await full_socket(server.port)
            leader.signal(signal.SIGSTOP)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        async with running(world.relay()) as standby:
            await standby.wait_for_state("PUBLISHING")
            await world.drained(standby)
            before = (await streams.state(world.nats_url, world.stream))[1]
            leader.signal(signal.SIGCONT)
            await leader.wait_for_state("STANDBY")
            await world.drained(standby)
            tell(f"{before} messages when the leader woke up")


async def full_socket(port: int) -> None:
    """Waits until what the kernel holds for the server's clients is not empty and does not change."""
    deadline, last, since = time.monotonic() + 120, 0, time.monotonic()
    while True:
        queued = unsent(port)
        if queued != last:
            last, since = queued, time.monotonic()
        if queued > 0 and time.monotonic() - since > 1.5:
            tell(f"{queued} bytes wait in the kernel")
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def unsent(port: int) -> int:
    """Bytes sent to a local port and not taken, as /proc/net/tcp has them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[0], 16) for row in rows if int(row[2].split(":")[1], 16) == port)


async def make_world(postgres_database: str, server: NatsServer) -> World:
    """A stream that forgets message ids at once: they would hide repeated events for a while."""
    await streams.create_stream(
        server.url,
        name="FROZEN",
        subjects=["frozen.>"],
        storage="file",
        discard="new",
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
        duplicate_window=0.1,
    )
    return await World.make(postgres_database, server.url, "FROZEN", "frozen")


@pytest.mark.mutant
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into socket buffers by /proc")
async def test_what_a_woken_leader_has_in_its_buffers_is_refused(postgres_url: str, private_nats: PrivateNats) -> None:
    """And its mutant, whose messages do not say what they expect: they are stored again."""

    async def verdict_with(prelude: str) -> Verdict:
        server = await private_nats()
        async with database(postgres_url) as url:
            world = await make_world(url, server)
            await wake_with_full_buffers(server, world, prelude)
            return await world.verdict()

    verdict, of_mutant = await asyncio.gather(verdict_with(""), verdict_with(UNFENCED))
    tell(f"{verdict}; without expected sequences {of_mutant}")
    assert verdict.clean, verdict
    assert verdict.delivered == ROWS
    assert of_mutant.repeated > 0
    assert of_mutant.lost == 0
