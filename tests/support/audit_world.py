"""A log, its stream and its witness on real servers, for tests: events are published as the relay publishes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import psycopg
from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig

from audit.leaves.leaf import Leaf
from audit.leaves.stream_message import StreamMessage
from audit.metrics import NotaryMetrics
from audit.notary.notary import Notary, NotaryPlan
from audit.notary.stream_reader import StreamReader
from audit.notes.checkpoint import Checkpoint, open_checkpoint
from audit.notes.keys import Kind, SigningKey, new_key
from audit.storage import checkpoints, leaf_rows
from audit.storage.position import Position
from audit.storage.schema import migrate
from audit.storage.tree_nodes import TreeNodes
from audit.tree.frontier import Frontier
from service_runtime.process import cancel

#: Seconds, enough for an overloaded machine.
_SECONDS = 120.0
_PROJECT = Path(__file__).parents[2]
AUDIT = (sys.executable, "-m", "audit")
TANDEM_AUDIT = (str(Path(sys.executable).parent / "tandem"), "audit")


@dataclass
class AuditWorld:
    """One log: its database, its stream, and its key."""

    database_url: str
    nats_url: str
    stream: str
    subject: str
    key: SigningKey

    @classmethod
    async def make(cls, database_url: str, nats_url: str, stream: str, subject: str) -> AuditWorld:
        """Makes the tables and the stream."""
        world = await cls.over(database_url, nats_url, stream, subject)
        await world.create_stream()
        return world

    @classmethod
    async def over(cls, database_url: str, nats_url: str, stream: str, subject: str) -> AuditWorld:
        """Makes the tables, for a stream that is there."""
        await migrate(database_url)
        return cls(database_url, nats_url, stream, subject, new_key("example.com/log", Kind.NOTE))

    async def create_stream(self) -> None:
        """Makes the stream."""
        async with self.client() as client:
            config = StreamConfig(name=self.stream, subjects=[f"{self.subject}.>"], storage=StorageType.FILE)
            await client.jetstream(timeout=_SECONDS).add_stream(config)

    async def refill(self, messages: Iterable[StreamMessage]) -> None:
        """Loses the stream, and publishes anew into another one of the same name."""
        async with self.client() as client:
            await client.jetstream(timeout=_SECONDS).delete_stream(self.stream)
        await self.create_stream()
        await self.publish(messages)

    async def forget_consumers(self) -> None:
        """Deletes the stream's consumers, as the server forgets them in a restart."""
        async with self.client() as client:
            jetstream = client.jetstream(timeout=_SECONDS)
            for consumer in await jetstream.consumers_info(self.stream):
                await jetstream.delete_consumer(self.stream, consumer.name)

    async def forget_messages(self, before: int) -> None:
        """Deletes the stream's messages before a sequence, as a limit of the stream does."""
        async with self.client() as client:
            await client.jetstream(timeout=_SECONDS).purge_stream(self.stream, seq=before)

    async def created_at(self) -> int:
        """When the stream was created, as positions have it."""
        async with self.client() as client:
            return (await StreamReader(client, self.stream).open(Position(0, 0))).stream_created_at

    async def publish(self, messages: Iterable[StreamMessage]) -> None:
        """Publishes messages in their order."""
        async with self.client() as client:
            jetstream = client.jetstream(timeout=_SECONDS)
            sent = [
                await jetstream.publish_async(f"{self.subject}.event", one.body, headers=dict(one.headers))
                for one in messages
            ]
            await asyncio.gather(*sent)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connection of its own to NATS."""
        client = await nats.connect(self.nats_url, connect_timeout=int(_SECONDS))
        try:
            yield client
        finally:
            await client.close()

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A session of its own."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(
        self, *, checkpoint_seconds: float = 0.0, batch_events: int = 50, answer_seconds: float = _SECONDS
    ) -> AsyncIterator[Notary]:
        """Runs a notary in this process within the block."""
        plan = NotaryPlan(
            self.database_url, self.nats_url, self.stream, batch_events, checkpoint_seconds, 0.0, answer_seconds
        )
        notary = Notary(plan, self.key, NotaryMetrics())
        running = asyncio.create_task(notary.run())
        try:
            yield notary
        finally:
            await cancel(running)

    async def leaves(self) -> list[Leaf]:
        """All leaves."""
        async with self.database() as connection:
            return [row.leaf for row in await leaf_rows.between(connection, 0, 1 << 40)]

    async def until_size(self, size: int) -> None:
        """Waits until the log has so many leaves."""
        await self._until("SELECT count(*) >= %s FROM audit_leaf", size)

    async def until_signed(self, size: int) -> Checkpoint:
        """Waits until a checkpoint of so many leaves is signed; returns it."""
        await self._until("SELECT max(size) >= %s FROM audit_checkpoint", size)
        return await self.signed()

    async def _until(self, statement: str, size: int) -> None:
        async with asyncio.timeout(_SECONDS), self.database() as connection:
            while True:
                row = await (await connection.execute(statement.encode(), [size])).fetchone()
                if row is not None and row[0]:
                    return
                await asyncio.sleep(0.01)

    async def signed(self) -> Checkpoint:
        """The newest checkpoint; its signature is verified."""
        async with self.database() as connection:
            stored = await checkpoints.newest(connection)
        assert stored is not None
        return open_checkpoint(stored.note, self.key.verification)[0]

    async def root(self, size: int) -> bytes:
        """The root that the tables give."""
        async with self.database() as connection:
            return await TreeNodes(connection).root(size)


def root_of(leaves: Sequence[Leaf]) -> bytes:
    """The root over leaves, computed from their bytes alone."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf.hash)
    return frontier.root()


class AuditProcess:
    """`python -m audit <command>`, which tests kill; `program` is another one. `settings` are AUDIT_ variables."""

    def __init__(self, *command: str, program: Sequence[str] = AUDIT, **settings: object) -> None:
        named = {f"AUDIT_{name.upper()}": str(value) for name, value in settings.items()}
        self._command = (*program, *command)
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "AUDIT_PROBES_LISTEN": "127.0.0.1:0",
            "AUDIT_WITNESS_LISTEN": "127.0.0.1:0",
            **named,
        }
        self.log: list[dict[str, Any]] = []

    async def start(self) -> dict[str, Any]:
        """Starts it; returns the fields of its log line `listening`."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=_PROJECT,
            env=self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(_SECONDS):
            async for line in self._process.stderr:
                self.log.append(json.loads(line))
                if self.log[-1]["event"] == "listening":
                    self._reading = asyncio.create_task(self._read())
                    return self.log[-1]
        raise AssertionError(f"it did not start: {self.log}")

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(json.loads(line))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.log if line["event"] == name]

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Ends it by a signal; returns the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._reading
        return await self._process.wait()
