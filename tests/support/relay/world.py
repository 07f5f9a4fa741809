"""A test's outbox and stream, and relays between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from relay.config import RelaySettings
from relay.events.barrier import TIME_HEADER
from relay.events.cursor import anchor_of
from relay.outbox.leadership import lock_key
from tests.support.relay import streams
from tests.support.relay.judge import Verdict, judge
from tests.support.relay.relay_process import RelayProcess
from tests.support.relay.tables import OUTBOX, create
from tests.support.relay.writers import Ledger

DRAIN_SECONDS = 120.0
#: The first event of a new aggregate, about 400 bytes.
SMALL = """gen_random_uuid(), 1, ('{"x":"' || repeat('x', 400) || '"}')::json"""


@dataclass(slots=True)
class World:
    """An outbox table and the stream for its events. `settings` are RELAY_ variables."""

    database_url: str
    nats_url: str
    stream: str
    prefix: str
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def make(cls, database_url: str, nats_url: str, stream: str, prefix: str, ddl: str = OUTBOX) -> World:
        """Creates the tables; the relay creates the stream."""
        await create(database_url, ddl)
        return cls.on(database_url, nats_url, stream, prefix)

    @classmethod
    def on(cls, database_url: str, nats_url: str, stream: str, prefix: str) -> World:
        """Returns a world on existing tables."""
        return cls(
            database_url,
            nats_url,
            stream,
            prefix,
            {
                "RELAY_DATABASE_URL": database_url,
                "RELAY_NATS_URL": nats_url,
                "RELAY_STREAM": stream,
                "RELAY_SUBJECT_TEMPLATE": prefix + ".{partition}.{event_type}",
                "RELAY_BARRIER_SUBJECT": f"{prefix}.barrier",
                "RELAY_STREAM_MAX_BYTES": str(1 << 30),
            },
        )

    @property
    def lock_key(self) -> tuple[int, int]:
        """The advisory lock that the leader holds."""
        return lock_key("outbox", self.stream)

    def relay(self, *, prelude: str = "", **overrides: str) -> RelayProcess:
        """Returns a relay that is not started yet; `overrides` have no prefix, `prelude` is as in RelayProcess."""
        changed = {f"RELAY_{name.upper()}": value for name, value in overrides.items()}
        return RelayProcess({**self.settings, **changed}, prelude)

    def configured(self, **overrides: str) -> RelaySettings:
        """Returns the relay's settings, to call parts of it in this process."""
        given = {name.removeprefix("RELAY_").lower(): value for name, value in self.settings.items()}
        return RelaySettings.model_validate(given | overrides)

    async def insert(self, rows: int, *, values: str = SMALL) -> None:
        """Commits rows: `values` is (aggregate_id, aggregate_version[, payload]) as SQL, `n` is the row's number."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            await connection.execute(
                "INSERT INTO outbox (aggregate_id, aggregate_version, payload)"
                f" SELECT {values} FROM generate_series(1, %s) n",
                [rows],
            )

    async def messages(self) -> list[streams.Stored]:
        """Returns the stream's messages."""
        return await streams.read_all(self.nats_url, self.stream)

    async def last_named_barrier(self) -> int:
        """Returns the sequence of the barrier that the last message names. That must be an event from the log."""
        found = anchor_of((await self.messages())[-1].headers["Tandem-Cursor"])
        assert isinstance(found, int)
        return found

    async def events(self) -> Sequence[tuple[str, int]]:
        """Returns (aggregate, version) of the stream's events."""
        return streams.events(await self.messages())

    async def committed(self) -> set[tuple[str, int]]:
        """Returns (aggregate, version) of the table's rows."""
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            rows = await connection.execute("SELECT aggregate_id::text, aggregate_version FROM outbox")
            return {(aggregate, version) for aggregate, version in await rows.fetchall()}

    async def drained(self, relay: RelayProcess, seconds: float = DRAIN_SECONDS) -> None:
        """Waits until a barrier that the relay took after this call shows that nothing is unpublished."""
        deadline = time.monotonic() + seconds
        began = await self._database_time()
        while True:
            assert relay.returncode is None, relay.text
            if await streams.last_header(self.nats_url, self.stream, f"{self.prefix}.barrier", TIME_HEADER) > began:
                return
            assert time.monotonic() < deadline, f"{await relay.page()}\n{relay.text}"
            await asyncio.sleep(0.05)

    async def verdict(self, ledger: Ledger | None = None) -> Verdict:
        """Compares the stream with the ledger, or with the table if there is no ledger."""
        return judge(ledger.committed if ledger else await self.committed(), await self.events())

    async def _database_time(self) -> str:
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            row = await (
                await connection.execute(
                    """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
                )
            ).fetchone()
        assert row is not None
        return str(row[0])
