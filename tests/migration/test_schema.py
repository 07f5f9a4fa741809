"""The migrations make exactly the tables that the code declares, once, whoever runs them and how often."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from command_service.storage.revision import MIGRATIONS, required_revision
from command_service.storage.schema import migrate
from command_service.storage.tables import metadata
from service_runtime.process import StartupRefused
from tests.fixtures.postgres import database
from tests.fixtures.private_servers import PrivatePostgres

OLDEST_BINARIES = Path("/usr/lib/postgresql/15/bin")
PARTITION = re.compile(r"\boutbox_p\d+")

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
PARTITIONING = "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table"
SEQUENCES = "SELECT seqrelid::regclass::text, seqcache, seqincrement, seqcycle FROM pg_sequence"


async def catalogue(url: str) -> set[tuple[Any, ...]]:
    """Everything that makes a schema what it is, the version table and partitions left out."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found: set[tuple[Any, ...]] = set()
        for query in (COLUMNS, CONSTRAINTS, INDEXES, PARTITIONING, SEQUENCES):
            found |= {tuple(row) for row in await (await connection.execute(query)).fetchall()}
    return {row for row in found if row[0] != "alembic_version" and not PARTITION.search(str(row))}


def declare(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        metadata.create_all(connection)
    engine.dispose()


async def test_migrations_make_what_the_code_declares(postgres_url: str) -> None:
    async with database(postgres_url) as migrated, database(postgres_url) as declared:
        await asyncio.to_thread(migrate, migrated)
        await asyncio.to_thread(declare, declared)
        made, wanted = await catalogue(migrated), await catalogue(declared)
    assert sorted(made - wanted, key=str) == []
    assert sorted(wanted - made, key=str) == []
    assert {row[0] for row in made} >= set(metadata.tables)


@pytest.mark.mutant
async def test_a_difference_would_be_seen(postgres_database: str) -> None:
    await asyncio.to_thread(migrate, postgres_database)
    before = await catalogue(postgres_database)
    changes = (
        "ALTER TABLE orders DROP CONSTRAINT orders_total_check",
        "ALTER TABLE order_lines ALTER COLUMN sku DROP NOT NULL",
        "ALTER SEQUENCE outbox_position_seq CACHE 10",
        "DROP INDEX outbox_transaction_id_idx",
        "ALTER TABLE outbox ALTER COLUMN transaction_id DROP DEFAULT",
    )
    for change in changes:
        async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
            await connection.execute(change)
        after = await catalogue(postgres_database)
        assert after != before, change
        before = after


def test_the_revision_that_a_version_needs_is_the_last_one() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [required_revision()]


async def test_migrating_again_changes_nothing(postgres_database: str) -> None:
    assert await asyncio.to_thread(migrate, postgres_database) == (None, required_revision())
    before = await catalogue(postgres_database)
    assert await asyncio.to_thread(migrate, postgres_database) == (required_revision(), required_revision())
    assert await catalogue(postgres_database) == before
    async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
        rows = await (await connection.execute("SELECT epoch, system_identifier, timeline FROM source")).fetchall()
        server = await connection.execute("SELECT system_identifier::text FROM pg_control_system()")
        assert rows == [(1, *(await server.fetchone() or ()), 1)]


async def test_many_migrations_at_once_are_one(postgres_database: str) -> None:
    results = await asyncio.gather(*(asyncio.to_thread(migrate, postgres_database) for _ in range(6)))
    assert results.count((None, required_revision())) == 1
    assert results.count((required_revision(), required_revision())) == 5


async def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(StartupRefused) as refused:
        await asyncio.to_thread(migrate, "postgresql://me:secret@127.0.0.1:1/orders")
    assert "COMMAND_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_outbox_partitions_are_made_ahead(postgres_database: str) -> None:
    await asyncio.to_thread(migrate, postgres_database)
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:

        async def partitions() -> list[str]:
            rows = await connection.execute(
                "SELECT c.relname || ' ' || pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits"
                " JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent"
                " WHERE p.relname = 'outbox' ORDER BY length(c.relname), c.relname"
            )
            return [row[0] for row in await rows.fetchall()]

        first = await partitions()
        assert first == [
            f"outbox_p{number} FOR VALUES FROM ('{number * 5_000_000}') TO ('{(number + 1) * 5_000_000}')"
            for number in range(3)
        ]
        assert await (await connection.execute("SELECT extend_outbox(2)")).fetchone() == (0,)
        # Positions have run on: the present partition and two more, while a writer holds the table.
        await connection.execute("SELECT setval('outbox_position_seq', 22_500_000)")
        async with await psycopg.AsyncConnection.connect(postgres_database) as writer:
            await writer.execute("LOCK TABLE outbox IN ROW EXCLUSIVE MODE")
            assert await (await connection.execute("SELECT extend_outbox(2)")).fetchone() == (3,)
            await writer.rollback()
        assert [name.split()[0] for name in await partitions()][3:] == ["outbox_p4", "outbox_p5", "outbox_p6"]
        # Somebody who holds the table for himself is not waited for, and nothing half-made is left.
        await connection.execute("SELECT setval('outbox_position_seq', 30_000_000)")
        async with await psycopg.AsyncConnection.connect(postgres_database) as blocker:
            await blocker.execute("LOCK TABLE outbox IN SHARE UPDATE EXCLUSIVE MODE")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await connection.execute("SELECT extend_outbox(2)")
            await blocker.rollback()
        assert await (await connection.execute("SELECT extend_outbox(2)")).fetchone() == (2,)


@pytest.mark.skipif(not OLDEST_BINARIES.is_dir(), reason="no PostgreSQL 15 is installed here")
async def test_the_oldest_server_we_support_takes_them(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres(binaries=OLDEST_BINARIES)
    assert server.version.startswith("15")
    assert await asyncio.to_thread(migrate, server.url) == (None, required_revision())
    async with await psycopg.AsyncConnection.connect(server.url) as connection:
        rows = await connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^outbox_p[0-9]+$' ORDER BY 1")
        assert [row[0] for row in await rows.fetchall()] == ["outbox_p0", "outbox_p1", "outbox_p2"]
