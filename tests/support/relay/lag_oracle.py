"""Computes the true lag at each moment afterwards, from the times when each event was committed and stored.

All clocks are this machine's. A writer records the time before and after each commit, the stream the time of each
message, and the sampler the time before and after each answer. So the true lag is known within bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.support.relay import streams
from tests.support.relay.relay_process import RelayProcess
from tests.support.relay.world import World

_INSERT = (
    "INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (%s, 1)"
    " RETURNING extract(epoch FROM recorded_at)::double precision"
)
FAR = float("inf")


@dataclass(frozen=True, slots=True)
class Written:
    """An event; times in seconds since 1970."""

    aggregate: str
    recorded_at: float
    before_commit: float
    after_commit: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A lag that the relay reported between `asked` and `answered`."""

    asked: float
    answered: float
    age: float


class LagOracle:
    """Writes events, one per transaction, and records the times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._written: list[Written] = []

    @contextlib.asynccontextmanager
    async def writing(self, writers: int, pause: float) -> AsyncIterator[None]:
        """Runs writers within the block, each with pauses up to twice `pause` seconds."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(self._write(stop, pause))
            try:
                yield
            finally:
                stop.set()

    async def _write(self, stop: asyncio.Event, pause: float) -> None:
        async with await psycopg.AsyncConnection.connect(self._world.database_url) as connection:
            while not stop.is_set():
                aggregate = str(uuid.uuid4())
                row = await (await connection.execute(_INSERT, [aggregate])).fetchone()
                assert row is not None
                before = time.time()
                await connection.commit()
                self._written.append(Written(aggregate, row[0], before, time.time()))
                await asyncio.sleep(random.random() * 2 * pause)

    async def errors(self, samples: list[Sample]) -> list[float]:
        """Returns the error of each sample, in seconds."""
        stored = await self._stored()
        lives = [(one, stored.get(one.aggregate, FAR)) for one in self._written]

        def age(moment: float, *, surely: bool) -> float:
            """Returns the lower bound of the true age at `moment` if `surely`, else its upper bound."""
            oldest = min(
                (
                    one.recorded_at
                    for one, gone in lives
                    if (one.after_commit if surely else one.before_commit) <= moment < gone
                ),
                default=moment,
            )
            return max(0.0, moment - oldest)

        found = []
        for one in samples:
            least = min(age(one.asked, surely=True), age(one.answered, surely=True))
            most = max(age(one.asked, surely=False), age(one.answered, surely=False))
            found.append(max(0.0, least - one.age, one.age - most))
        return found

    async def _stored(self) -> dict[str, float]:
        """Returns when each aggregate's event was first stored."""
        times: dict[str, float] = {}
        async with streams.client(self._world.nats_url) as client:
            jetstream = client.jetstream()
            last = (await jetstream.stream_info(self._world.stream)).state.last_seq
            subscription = await jetstream.pull_subscribe(
                ">",
                stream=self._world.stream,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, headers_only=True),
            )
            sequence = 0
            while sequence < last:
                for message in await subscription.fetch(1_000, timeout=10):
                    sequence = message.metadata.sequence.stream
                    aggregate = (message.headers or {}).get("ce-subject")
                    if aggregate is not None:
                        times.setdefault(aggregate, message.metadata.timestamp.timestamp())
        return times


async def sampled(relay: RelayProcess, samples: list[Sample], stop: asyncio.Event) -> None:
    """Samples the relay's lag until `stop` is set; a stopped relay gives no samples."""
    while not stop.is_set():
        asked = time.time()
        page = await relay.page()
        if (age := page["oldest_unpublished_age_seconds"]) is not None:
            samples.append(Sample(asked, time.time(), age))
        await asyncio.sleep(0.02)
