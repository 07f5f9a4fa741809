"""Restores databases to an earlier state, and runs `python -m relay adopt` on them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from tests.support.relay.tables import OUTBOX, create
from tests.support.relay.world import World

SOURCE = """
CREATE TABLE source (epoch bigint NOT NULL, system_identifier text NOT NULL, timeline integer NOT NULL);
INSERT INTO source SELECT 1, system_identifier::text, 1 FROM pg_control_system();
"""
_PROJECT = Path(__file__).parents[3]
_WITH_PRELUDE = "import sys\n{prelude}\nfrom relay.__main__ import main\nsys.exit(main(['adopt', '--json']))"
#: Three versions of each aggregate, the aggregates in turn; `n` is the row's number.
VERSIONS = "md5(%(salt)s::text || mod(n, %(rows)s::int / 3))::uuid, 1 + n / (%(rows)s::int / 3), '{}'::json"


@dataclass(frozen=True, slots=True)
class Adopted:
    """How a run of `adopt` ended. `document` is its JSON, {} when it was killed."""

    code: int
    document: dict[str, Any]
    errors: str

    @property
    def found(self) -> dict[str, Any]:
        """The adoption's findings."""
        assert self.code == 0, f"{self.document}{self.errors}"
        assert self.document["adopted"], self.document
        return dict(self.document["adoption"])


@contextlib.asynccontextmanager
async def adopting(world: World, *options: str, prelude: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `python -m relay adopt --json`; kills it at the end of the block if it still runs."""
    code = ("-c", _WITH_PRELUDE.format(prelude=prelude)) if prelude else ("-m", "relay", "adopt", "--json", *options)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *code,
        cwd=_PROJECT,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONFAULTHANDLER": "1", **world.settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def adopt(world: World, prelude: str = "") -> Adopted:
    """Runs `python -m relay adopt --json` to its end. `prelude` is code that runs before it."""
    async with adopting(world, prelude=prelude) as process:
        out, err = await process.communicate()
    return Adopted(process.returncode or 0, json.loads(out) if out else {}, err.decode())


def dying(module: str, method: str, times: int = 1) -> str:
    """Returns a prelude that kills the process when the method has returned `times` times."""
    owner, _, name = method.rpartition(".")
    return f"""
import os, signal, {module} as module
owner, calls = module.{owner}, []
original = owner.{name}
async def dying(*arguments, **named):
    result = await original(*arguments, **named)
    calls.append(1)
    if len(calls) == {times}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
owner.{name} = dying
"""


async def insert_versions(world: World, rows: int, salt: str) -> None:
    """Commits `rows` rows of some aggregates, each aggregate's in the order of its versions."""
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox (aggregate_id, aggregate_version, payload)"
            f" SELECT {VERSIONS} FROM generate_series(0, %(rows)s::int - 1) n ORDER BY n",
            {"rows": rows, "salt": salt},
        )


async def restore(world: World, url: str, *, shift: int) -> World:
    """Copies the database of `world` to `url`, as a restore from a dump into another cluster does.

    Transaction ids in the copy are `shift` higher than the cluster's next one.
    """
    await create(url, OUTBOX + SOURCE)
    tables = {
        "outbox": "SELECT position, ((transaction_id::text)::bigint + {shift})::text::xid8, event_id, aggregate_type,"
        " aggregate_id, aggregate_version, partition, event_type, payload, personal, salt, personal_digest, headers,"
        " hash, occurred_at, recorded_at FROM outbox",
        "relay_state": "TABLE relay_state",
        "outbox_parked": "TABLE outbox_parked",
        "source": "SELECT epoch, 'another cluster', timeline FROM source",
    }
    async with (
        await psycopg.AsyncConnection.connect(world.database_url) as old,
        await psycopg.AsyncConnection.connect(url) as new,
    ):
        await new.execute("TRUNCATE source")
        for name in ("relay_state", "outbox_parked"):
            definition = await old.execute(
                "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
                " FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0",
                [name],
            )
            row = await definition.fetchone()
            assert row is not None
            await new.execute(f"CREATE TABLE {name} ({row[0]})")
            key = "stream" if name == "relay_state" else "position"
            await new.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({key})")
        for name, query in tables.items():
            async with (
                old.cursor().copy(f"COPY ({query.format(shift=shift)}) TO STDOUT") as rows,
                new.cursor().copy(f"COPY {name} FROM STDIN") as copy,
            ):
                async for data in rows:
                    await copy.write(data)
        await new.execute("SELECT setval(pg_get_serial_sequence('outbox', 'position'), max(position)) FROM outbox")
    return replace(world, database_url=url, settings={**world.settings, "RELAY_DATABASE_URL": url})


async def burn_transactions(world: World, count: int) -> None:
    """Uses up `count` transaction ids of the cluster."""
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(
            f"""DO $$ BEGIN FOR n IN 1..{count} LOOP
                    BEGIN
                        INSERT INTO command_log VALUES (gen_random_uuid()::text);
                    EXCEPTION WHEN OTHERS THEN NULL;
                    END;
                END LOOP; END $$"""
        )


@dataclass(frozen=True, slots=True)
class Books:
    """Compares the stream with the table by event id. `lost_by_source`: ids in the stream that the table lacks."""

    rows: int
    missing: int
    repeated: int
    inverted: int
    lost_by_source: frozenset[str]

    @property
    def clean(self) -> bool:
        """Whether every row is in the stream, once, in its aggregate's order."""
        return not (self.missing or self.repeated or self.inverted)


async def books(world: World) -> Books:
    """Reads the stream and the table, and compares them."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        rows = await connection.execute("SELECT event_id::text, aggregate_id::text, aggregate_version FROM outbox")
        table = {event: (aggregate, version) for event, aggregate, version in await rows.fetchall()}
    stream = [message.headers["ce-id"] for message in await world.messages() if message.is_event]
    at: dict[str, int] = {}
    inverted = 0
    for event in stream:
        if event in table:
            aggregate, version = table[event]
            inverted += version <= at.get(aggregate, 0)
            at[aggregate] = version
    counts = Counter(stream)
    return Books(
        len(table),
        len(table.keys() - counts.keys()),
        sum(count - 1 for count in counts.values()),
        inverted,
        frozenset(counts.keys() - table.keys()),
    )
