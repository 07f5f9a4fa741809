"""The index by which an order's events are found: built while commands write, resumed, and part of later partitions."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest_asyncio

from command_service.storage.schema import migrate

INDEX = "outbox_aggregate_id_aggregate_version_idx"
ADD_EVENT = """
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload,
                    personal_digest, headers, hash, occurred_at, recorded_at)
VALUES (gen_random_uuid(), 'order', %s, 1, 0, 'ORDER_HELD', '{}', sha256(''), '{}', sha256(''), now(), now())
"""
#: Of the table and of each partition: whether its index is usable.
USABLE = """
SELECT indrelid::regclass::text, indisvalid FROM pg_index
WHERE indexrelid = 'outbox_aggregate_id_aggregate_version_idx'::regclass
   OR indexrelid IN (SELECT inhrelid FROM pg_inherits
                     WHERE inhparent = 'outbox_aggregate_id_aggregate_version_idx'::regclass)
ORDER BY 1
"""
BUILDING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event = 'virtualxid'"
)


@pytest_asyncio.fixture(loop_scope="session")
async def before_the_index(postgres_database: str) -> AsyncIterator[str]:
    """URL of a database of the revision before, with an event in each of two partitions."""
    await asyncio.to_thread(migrate, postgres_database, "0001")
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        await connection.execute(ADD_EVENT, [uuid.uuid4()])
        await connection.execute("SELECT setval('outbox_position_seq', 5000000)")
        await connection.execute(ADD_EVENT, [uuid.uuid4()])
    yield postgres_database


async def usable(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[object, object]:
    return {row[0]: row[1] for row in await (await connection.execute(USABLE)).fetchall()}


async def test_commands_write_while_it_is_built(before_the_index: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(before_the_index, autocommit=True) as writer,
        await psycopg.AsyncConnection.connect(before_the_index) as reader,
    ):
        # The build waits for a transaction that may still read what is not in the index.
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await reader.execute("SELECT count(*) FROM orders")
        migrating = asyncio.ensure_future(asyncio.to_thread(migrate, before_the_index))
        async with asyncio.timeout(120):
            while (await (await writer.execute(BUILDING)).fetchone()) != (1,):
                assert not migrating.done()
                await asyncio.sleep(0.01)
            await writer.execute(ADD_EVENT, [uuid.uuid4()])
        assert not migrating.done()
        await reader.rollback()
        await migrating
        await writer.execute("SELECT setval('outbox_position_seq', 22500000)")
        await writer.execute("SELECT extend_outbox(2)")
        names = {"outbox", *(f"outbox_p{number}" for number in (0, 1, 2, 4, 5, 6))}
        assert await usable(writer) == dict.fromkeys(names, True)


async def test_an_interrupted_build_is_resumed(before_the_index: str) -> None:
    async with await psycopg.AsyncConnection.connect(before_the_index, autocommit=True) as connection:
        columns = "(aggregate_id, aggregate_version)"
        await connection.execute(f"CREATE INDEX {INDEX} ON ONLY outbox {columns}")
        for partition in ("outbox_p0", "outbox_p1"):
            await connection.execute(
                f"CREATE INDEX {partition}_aggregate_id_aggregate_version_idx ON {partition} {columns}"
            )
        await connection.execute(f"ALTER INDEX {INDEX} ATTACH PARTITION outbox_p0_aggregate_id_aggregate_version_idx")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'outbox_p1_aggregate_id_aggregate_version_idx'::regclass"
        )
        await asyncio.to_thread(migrate, before_the_index)
        assert await usable(connection) == dict.fromkeys(["outbox", "outbox_p0", "outbox_p1", "outbox_p2"], True)
