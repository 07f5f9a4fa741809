"""The revision that redactions need: it keeps what is there, repairs an interrupted build, and finds earlier orders."""

from __future__ import annotations

import asyncio

import psycopg

from command_service.storage.schema import migrate
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import application, call
from tests.support.commands.journal import journal_faults
from tests.support.commands.personal_orders import SEARCHED, canaries, placed

#: What the revision adds, taken away again; an index is left as by an interrupted build.
BEFORE = (
    "ALTER TABLE command_log DROP COLUMN shows",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_customer_id_order_id_idx'::regclass",
    "UPDATE alembic_version SET version_num = '0003'",
)
USABLE = """
SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relname IN ('orders_customer_id_order_id_idx', 'command_log_shows_idx') ORDER BY relname
"""


async def test_orders_of_before_can_be_redacted(postgres_database: str) -> None:
    await asyncio.to_thread(migrate, postgres_database)
    async with application(postgres_database) as orders:
        for _ in range(2):
            await placed(orders)
    before = await canaries(postgres_database)
    assert before == {"orders": 2, "outbox": 6, "command_log": 6}
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        for sql in BEFORE:
            await connection.execute(sql)
    await asyncio.to_thread(migrate, postgres_database)
    usable = [("command_log_shows_idx", True), ("orders_customer_id_order_id_idx", True)]
    assert await execute(postgres_database, USABLE) == usable
    assert await canaries(postgres_database) == before, "the rows stay as they are"
    async with application(postgres_database) as orders:
        answer = await orders.redact(call(), "C1")
    assert (answer.redacted_orders, answer.remaining_orders) == (2, 0)
    assert await canaries(postgres_database) == dict.fromkeys(SEARCHED, 0)
    assert await journal_faults(postgres_database) == []
