"""Where a slot begins, its checkpoint says what has been delivered, whatever snapshot the server exports."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import psycopg
import pytest

from relay.events.columns import ColumnNames
from relay.events.cursor import WalCursor
from relay.events.snapshot import Snapshot
from relay.outbox.table import TableName
from tests.conformance.test_wal_source import Log
from tests.support.relay.tables import OUTBOX, create


async def slot_made_between_roll_backs(log: Log) -> tuple[WalCursor, list[int]]:
    """A slot whose making waits for two transactions that then roll back, while a third goes on.

    Also the transactions in their order: the first began before the making, each other before the end of the last.
    """
    async with AsyncExitStack() as connections:
        observer, *others = [
            await connections.enter_async_context(await psycopg.AsyncConnection.connect(log.url, autocommit=True))
            for _ in range(4)
        ]

        async def begin() -> int:
            connection = others[len(transactions)]
            await connection.set_autocommit(False)
            row = await (await connection.execute("SELECT pg_current_xact_id()::text::bigint")).fetchone()
            assert row is not None
            return int(row[0])

        async def roll_back_when_waited_for(number: int) -> None:
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = (%s::text)::xid"
            while not await (await observer.execute(waiting, [transactions[number]])).fetchone():
                await asyncio.sleep(0.001)
            transactions.append(await begin())
            await others[number].rollback()

        transactions: list[int] = []
        transactions.append(await begin())
        making = asyncio.create_task(log.begin())
        await roll_back_when_waited_for(0)
        await roll_back_when_waited_for(1)
        cursor = await making
        await others[2].rollback()
        return cursor, transactions


async def test_a_slot_is_made_while_transactions_roll_back(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported snapshot then ends before it begins; the slot's checkpoint must hold all the same."""
    await create(postgres_database, OUTBOX)
    log = Log(postgres_database, TableName.parse("outbox"), ColumnNames.default())
    exported: list[str] = []
    parse = Snapshot.parse_exported

    def parse_exported(text: str) -> Snapshot:
        exported.append(text)
        return parse(text)

    monkeypatch.setattr(Snapshot, "parse_exported", parse_exported)
    try:
        for _ in range(20):  # until nothing else in the server, such as a vacuum, commits meanwhile
            cursor, transactions = await slot_made_between_roll_backs(log)
            assert [cursor.checkpoint.snapshot.sees(one) for one in transactions] == [True, True, False]
            begins, ends, _ = exported[-1].split(":")
            if int(begins) > int(ends):
                return
        pytest.fail(f"no exported snapshot ended before it began: {exported}")
    finally:
        await log.drop()


@pytest.mark.mutant
async def test_mutant_the_exported_snapshot_is_read_as_any_other(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "parse_exported", Snapshot.parse)
    with pytest.raises(ValueError, match="not a pg_snapshot"):
        await test_a_slot_is_made_while_transactions_roll_back(postgres_database, monkeypatch)
