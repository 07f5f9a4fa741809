"""Writers that make an outbox hard to read, and a ledger of what they committed.

Adversaries: hot aggregates, transactions that get their id long before the aggregate's lock, savepoints rolled back
with an event inside, events written in subtransactions, rollbacks, several events in one transaction, transactions held
open with an event of their own, prepared transactions that are committed later.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psycopg

from tests.support.relay.tables import INSERT_OUTBOX


@dataclass(slots=True)
class Ledger:
    """(aggregate, version) of every committed event; versions of an aggregate count from 1 without gaps."""

    committed: set[tuple[str, int]] = field(default_factory=set)
    rolled_back: int = 0
    prepared: int = 0
    held: int = 0


class Writers:
    """`count` writers on `aggregates` aggregates, until stopped. The same `seed` gives the same choices, not timing."""

    def __init__(
        self,
        url: str,
        *,
        seed: int,
        count: int = 12,
        aggregates: int = 100,
        insert: str = INSERT_OUTBOX,
        prepare: bool = False,
        pause: float = 0.0,
        outlive: bool = False,
    ) -> None:
        """Prepares writers. With `outlive`, a writer reconnects when its server goes away.

        The ledger then has the commits that were acknowledged, and the table may have more.
        """
        self._url = url
        self._outlive = outlive
        self._chance = random.Random(seed)
        self._count = count
        self._insert = insert
        self._prepare = prepare
        self._pause = pause
        # Not from the seed: the database may be a restored dump with rows of earlier writers.
        self._name = uuid.uuid4().hex[:8]
        self._aggregates = [str(uuid.UUID(int=self._chance.getrandbits(128))) for _ in range(aggregates)]
        self._stop = asyncio.Event()
        self._at_work: list[asyncio.Task[None]] = []
        self.ledger = Ledger()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[Ledger]:
        """Runs writers within the block; at its end all have finished their transactions."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute(
                "INSERT INTO aggregate (id) SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING", [self._aggregates]
            )
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                self._at_work.append(group.create_task(self._writer(number, random.Random(self._chance.random()))))
            self._at_work.append(group.create_task(self._holder(random.Random(self._chance.random()))))
            try:
                yield self.ledger
            finally:
                self._stop.set()

    async def finish(self) -> None:
        """Waits until all writers have finished their transactions; nothing is committed afterwards."""
        self._stop.set()
        await asyncio.wait(self._at_work)

    async def _writer(self, number: int, chance: random.Random) -> None:
        life = 0
        while not self._stop.is_set():
            life += 1
            try:
                await self._write(f"{self._name}-{number}-{life}", chance)
            except psycopg.OperationalError:
                if not self._outlive:
                    raise
                await asyncio.sleep(0.05)

    async def _write(self, name: str, chance: random.Random) -> None:
        turn = 0
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            while not self._stop.is_set():
                turn += 1
                try:
                    await self._transaction(connection, chance, f"{name}-{turn}")
                except psycopg.errors.DeadlockDetected:
                    await connection.rollback()
                if self._pause:
                    await asyncio.sleep(chance.random() * 2 * self._pause)

    async def _transaction(self, connection: psycopg.AsyncConnection, chance: random.Random, request: str) -> None:
        """Runs one command, first its log entry, so the transaction has its id before it waits for the aggregate."""
        await connection.execute("INSERT INTO command_log VALUES (%s)", [request])
        if chance.random() < 0.02:
            await asyncio.sleep(chance.random() * 0.05)
        if chance.random() < 0.1:
            await self._abandoned_savepoint(connection, chance)
        aggregate = chance.choice(self._aggregates)
        written = await self._events(connection, chance, aggregate)
        fate = chance.random()
        if fate < 0.05:
            await connection.rollback()
            self.ledger.rolled_back += 1
            return
        if self._prepare and fate < 0.08:
            await self._commit_in_two_phases(connection, chance, request)
        else:
            if fate < 0.10:
                await asyncio.sleep(chance.random() * 0.05)
            await connection.commit()
        self.ledger.committed.update(written)

    async def _events(
        self, connection: psycopg.AsyncConnection, chance: random.Random, aggregate: str
    ) -> list[tuple[str, int]]:
        row = await (
            await connection.execute("SELECT version FROM aggregate WHERE id = %s FOR UPDATE", [aggregate])
        ).fetchone()
        assert row is not None
        count = chance.choice((1, 1, 1, 2, 3))
        in_savepoint = chance.random() < 0.1
        async with connection.transaction() if in_savepoint else contextlib.nullcontext():
            for version in range(row[0] + 1, row[0] + 1 + count):
                await connection.execute(self._insert, [aggregate, version])
        await connection.execute("UPDATE aggregate SET version = version + %s WHERE id = %s", [count, aggregate])
        return [(aggregate, version) for version in range(row[0] + 1, row[0] + 1 + count)]

    async def _abandoned_savepoint(self, connection: psycopg.AsyncConnection, chance: random.Random) -> None:
        """Writes an event and rolls it back with its savepoint, while the transaction continues."""
        async with connection.transaction(force_rollback=True):
            await connection.execute(self._insert, [chance.choice(self._aggregates), 1_000_000_000])

    async def _commit_in_two_phases(
        self, connection: psycopg.AsyncConnection, chance: random.Random, request: str
    ) -> None:
        await connection.execute(f"PREPARE TRANSACTION 'w-{request}'")
        await connection.commit()
        self.ledger.prepared += 1
        await asyncio.sleep(chance.random() * 0.1)
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as other:
            await other.execute(f"COMMIT PREPARED 'w-{request}'")

    async def _holder(self, chance: random.Random) -> None:
        """Runs transactions that stay open for a while, each with an event of its own aggregate."""
        while not self._stop.is_set():
            try:
                await self._hold(chance)
            except psycopg.OperationalError:
                if not self._outlive:
                    raise
                await asyncio.sleep(0.05)

    async def _hold(self, chance: random.Random) -> None:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            while not self._stop.is_set():
                aggregate = str(uuid.UUID(int=chance.getrandbits(128)))
                await connection.execute(self._insert, [aggregate, 1])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 0.2 + chance.random())
                await connection.commit()
                self.ledger.held += 1
                self.ledger.committed.add((aggregate, 1))
