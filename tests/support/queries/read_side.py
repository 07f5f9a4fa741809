"""Sets up a test's own read side on real servers: stream, consumer, indices, and processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from nats.aio.client import Client
from nats.js.api import ConsumerInfo, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from query_service.bootstrap import migrate, project
from query_service.config import QuerySettings
from query_service.storage.physical.store import PhysicalStore
from tests.support.queries.order_events import PublishedEvent, barrier_headers

DEADLINE_SECONDS = 120.0


async def eventually(
    check: Callable[[], Awaitable[bool]], what: str, *, within: float = DEADLINE_SECONDS, every: float = 0.02
) -> None:
    """Waits until `check` is true; fails with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(every)


class QueryProcess:
    """One process of the read side, started from the command line."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self._log = process, log

    @property
    def log(self) -> str:
        """Its output on stderr so far."""
        return self._log.read_text()

    async def kill(self) -> None:
        """Kills it by SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def ended(self, within: float = DEADLINE_SECONDS) -> int:
        """Waits for its end; returns the exit code."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def wrote(self, text: str, within: float = DEADLINE_SECONDS) -> None:
        """Waits until its log contains a text."""

        async def there() -> bool:
            assert self.process.returncode is None or text in self.log, self.log
            return text in self.log

        await eventually(there, f"{text!r} in the log", within=within)


class ReadSide:
    """Stream, indices and names of one test."""

    def __init__(
        self, client: Client, nats_url: str, elasticsearch_url: str, stream: str, prefix: str, directory: Path
    ) -> None:
        self.client, self.stream, self.index_prefix = client, stream, prefix
        self.subject = stream.lower()
        self.directory = directory
        self._urls = {"elasticsearch_url": elasticsearch_url, "nats_url": nats_url}
        self.store = PhysicalStore(elasticsearch_url, index_prefix=prefix, request_timeout=60)

    def settings(self, **changes: Any) -> QuerySettings:
        """Returns the settings of this read side's processes."""
        values: dict[str, Any] = {
            **self._urls,
            "index_prefix": self.index_prefix,
            "stream": self.stream,
            "consumer": "projector",
            "listen": "127.0.0.1:0",
            "probes_listen": "127.0.0.1:0",
            "ack_wait_seconds": 2,
            "read_timeout_seconds": 20,  # a loaded machine is slow; other tests cover a store that hangs
            **changes,
        }
        return QuerySettings(**values)

    def environment(self, **changes: Any) -> dict[str, str]:
        """Returns the same settings as environment variables."""
        values = self.settings(**changes).model_dump()
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }
        return {**os.environ, **{f"QUERY_{name.upper()}": value for name, value in plain.items()}}

    def store_of(self, generation: str) -> PhysicalStore:
        """Returns the store of one generation; the caller closes it."""
        url = self._urls["elasticsearch_url"]
        return PhysicalStore(url, index_prefix=self.index_prefix, request_timeout=60, generation=generation)

    async def create_stream(self) -> None:
        """Creates the stream as the relay does."""
        await self.client.jetstream(timeout=60).add_stream(
            StreamConfig(
                name=self.stream,
                subjects=[f"{self.subject}.v1.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                allow_atomic=True,
            )
        )

    async def publish(self, *events: PublishedEvent) -> None:
        """Publishes events."""
        jetstream = self.client.jetstream(timeout=60)
        for event in events:
            subject = f"{self.subject}.v1.{event.subject.split('.v1.')[1]}"
            await jetstream.publish(subject, event.body, headers=dict(event.headers))

    async def publish_barrier(self, moment: datetime, source_epoch: int = 1) -> int:
        """Publishes a barrier; returns its sequence."""
        headers = barrier_headers(moment, source_epoch)
        return (await self.client.jetstream(timeout=60).publish(f"{self.subject}.v1.barrier", b"", headers=headers)).seq

    async def consumer(self) -> ConsumerInfo:
        """Returns the shared consumer's info."""
        info: ConsumerInfo = await self.client.jetstream(timeout=60).consumer_info(self.stream, "projector")
        return info

    async def ack_floor(self) -> int:
        """Returns the sequence up to which all messages are acknowledged."""
        floor = (await self.consumer()).ack_floor
        return floor.stream_seq if floor is not None else 0

    @contextlib.asynccontextmanager
    async def projecting(self, **changes: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Runs a projector in this process within the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(project(self.settings(**changes), stop))
        try:
            yield task
        finally:
            stop.set()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.gather(task, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def process(
        self, *arguments: str, module: str = "query_service", **changes: Any
    ) -> AsyncIterator[QueryProcess]:
        """Runs `python -m query_service …`, killed at the end of the block if it still runs."""
        log = self.directory / f"{arguments[-1]}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            started = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments, stdout=output, stderr=output, env=self.environment(**changes)
            )
        process = QueryProcess(started, log)
        try:
            yield process
        finally:
            await process.kill()

    async def shows(self, events: Sequence[PublishedEvent]) -> bool:
        """Whether the read model has each order at the event's version, or a later one."""
        stored = await self.store.orders([event.order_id for event in events])
        return all(order.version >= event.version for order, event in zip(stored, events, strict=True))


@contextlib.asynccontextmanager
async def read_side_on(nats_url: str, elasticsearch_url: str, directory: Path) -> AsyncIterator[ReadSide]:
    """Yields a read side with its own names, not set up yet; deletes whatever was made at the end."""
    name = secrets.token_hex(5)
    client = await nats.connect(nats_url)
    side = ReadSide(client, nats_url, elasticsearch_url, f"TEST_{name.upper()}", f"test-{name}-", directory)
    try:
        yield side
    finally:
        await side.store.close()
        with contextlib.suppress(NotFoundError):
            await client.jetstream(timeout=60).delete_stream(side.stream)
        await client.close()
        async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as elasticsearch:
            found = await elasticsearch.indices.get(index=f"{side.index_prefix}*", expand_wildcards="all")
            if found.body:
                await elasticsearch.indices.delete(index=",".join(found.body), ignore_unavailable=True)


@pytest_asyncio.fixture(loop_scope="session")
async def empty_read_side(nats_url: str, elasticsearch_url: str, tmp_path: Path) -> AsyncIterator[ReadSide]:
    """Yields a read side that is not set up yet."""
    async with read_side_on(nats_url, elasticsearch_url, tmp_path) as side:
        yield side


@pytest_asyncio.fixture(loop_scope="session")
async def read_side(empty_read_side: ReadSide) -> ReadSide:
    """Returns a read side with an empty stream, its consumer and its indices."""
    await empty_read_side.create_stream()
    await migrate(empty_read_side.settings())
    return empty_read_side


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_read_side(
    nats_url: str, elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ReadSide]:
    """Yields one read side for a module's tests that change neither stream, set-up nor freshness."""
    async with read_side_on(nats_url, elasticsearch_url, tmp_path_factory.mktemp("read-side")) as side:
        await side.create_stream()
        await migrate(side.settings())
        yield side
