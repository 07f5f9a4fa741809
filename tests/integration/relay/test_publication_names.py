"""Publications stand in no schema: two outboxes of one database that have the same name must not share one."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from relay.events.errors import LogUnavailable
from relay.outbox import publication
from relay.outbox.database import connect
from relay.outbox.publication import default_publication, ensure_publication, publication_name
from relay.outbox.table import TableName

TABLES = [
    ("public", "outbox"), ("a", "outbox"), ("b", "outbox"), ("a_b", "c"), ("a", "b_c"), ("public", "b_c"),
    ("public", "x" * 63), ("a", "x" * 63), ("public", "日" * 21), ("public", "日" * 20 + "本"),
    ("Shop", "Domain Events"),
]  # fmt: skip


def test_each_table_has_a_name_of_its_own_that_postgres_takes_whole() -> None:
    names = [publication_name(schema, table) for schema, table in TABLES]
    assert names[0] == "tandem_outbox"
    assert len(set(names)) == len(names)
    for name in names:
        assert name.startswith("tandem_"), name
        assert len(name.encode()) <= 63, name


async def _with_search_path(url: str, schema: str) -> psycopg.AsyncConnection[object]:
    connection = await connect(url, "tandem-relay")
    await connection.execute(f"SET search_path = {schema}")
    return connection


async def test_the_schema_counts_also_where_only_the_search_path_tells_it(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant names publications by the table alone."""
    table = TableName.parse("outbox")
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as owner:
        for schema in "ab":
            await owner.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.outbox (x int)")
        first, second = await asyncio.gather(*(_with_search_path(postgres_database, one) for one in "ab"))
        async with first, second:
            names = [await default_publication(one, table) for one in (first, second)]
            assert names == [await default_publication(owner, TableName(schema, "outbox")) for schema in "ab"]
            for session, name in ((first, names[0]), (second, names[1])):
                await ensure_publication(session, name, table)
            monkeypatch.setattr(publication, "publication_name", lambda schema, name: f"tandem_{name}")
            shared = [await default_publication(one, table) for one in (first, second)]
            await ensure_publication(first, shared[0], table)
            with pytest.raises(LogUnavailable, match=r"publishes other tables and not outbox: set RELAY_PUBLICATION"):
                await ensure_publication(second, shared[1], table)
