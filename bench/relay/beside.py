"""Runs replays beside a relay that is measured: of a backlog on the same servers, one after the other.

Each replay publishes the whole backlog to a stream of its own, which is deleted before the next one begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats
from nats.js.errors import NotFoundError

from bench.harness import stream
from bench.harness.rounds import NotMeasured
from bench.relay.backlog import Backlog
from devstack.servers.child import Child

NAME = "BENCH_REPLAY"
#: Events per second of the replay whose effect on the relay has a limit: 200,000 events in 100 s.
RATE = 2_000
STOP_SECONDS = 20.0


@contextlib.asynccontextmanager
async def replaying(directory: Path, backlog: Backlog, nats_url: str, rate: int) -> AsyncIterator[None]:
    """Replays the backlog within the block, at most `rate` events in a second.

    Raises NotMeasured at the end if a replay failed or none published anything.
    """
    await _drop(nats_url)
    task = asyncio.create_task(_again_and_again(directory, backlog, nats_url, rate))
    try:
        yield
        if task.done():
            task.result()
        if not await _messages(nats_url):
            raise NotMeasured("the replay published nothing")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _drop(nats_url)


async def _again_and_again(directory: Path, backlog: Backlog, nats_url: str, rate: int) -> None:
    directory.mkdir(exist_ok=True)
    environment = {
        "RELAY_DATABASE_URL": backlog.url,
        "RELAY_NATS_URL": nats_url,
        "RELAY_STREAM": stream.NAME,
        "RELAY_SUBJECT_TEMPLATE": stream.TEMPLATE,
        "RELAY_BARRIER_SUBJECT": stream.BARRIER,
    }
    while True:
        child = await Child.spawn(
            [sys.executable, "-m", "relay", "replay", "--from", "0", "--to", NAME, "--rate", str(rate)],
            directory=directory,
            log=directory / "replay.log",
            account=None,
            environment=environment,
            death_signal=signal.SIGTERM,
        )
        try:
            if await child.wait() != 0:
                raise NotMeasured(f"the replay ended: {child.log_tail(5)}")
        finally:
            await child.stop(signal.SIGTERM, STOP_SECONDS)
        await _drop(nats_url)


async def _drop(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    with contextlib.suppress(NotFoundError):
        await client.jetstream().delete_stream(NAME)
    await client.close()


async def _messages(nats_url: str) -> int:
    client = await nats.connect(nats_url)
    try:
        return (await client.jetstream().stream_info(NAME)).state.messages
    except NotFoundError:
        return 0
    finally:
        await client.close()
