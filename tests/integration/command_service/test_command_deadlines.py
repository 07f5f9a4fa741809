"""What is left of a caller's deadline bounds the statements, so that nobody works for those who have left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import psycopg
import pytest

from command_service.application.errors import TimedOut
from command_service.storage import transaction
from tests.fixtures.write_model import execute, table_digests
from tests.support.commands.command_application import Application, application, call, place_order

IN_THE_WAY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'INSERT INTO command_log%'"
)
Check = Callable[[Application, str], Awaitable[None]]


async def check_the_server_ends_what_takes_too_long(orders: Application, url: str, patience: float = 120.0) -> None:
    """Nobody here cancels anything: it is the server that gives up, as it would if this process were gone."""
    before = await table_digests(url)
    async with await psycopg.AsyncConnection.connect(url) as blocker:
        await blocker.execute("LOCK TABLE command_log")
        with pytest.raises(TimedOut):
            async with asyncio.timeout(patience):
                await orders.place(replace(call(), deadline=time.monotonic() + 1.0), place_order())
        assert await execute(url, IN_THE_WAY) == [(0,)]
    assert await table_digests(url) == before


async def test_the_server_ends_what_takes_longer_than_the_caller_waits(command_database: str) -> None:
    async with application(command_database) as orders:
        await check_the_server_ends_what_takes_too_long(orders, command_database)
        assert not (await orders.place(call(), place_order())).replayed, "the next one has its own time"


@pytest.mark.mutant
async def test_a_deadline_that_is_not_passed_on_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "LIMIT", "SELECT $1::text")
    async with application(command_database) as orders:
        with pytest.raises(TimeoutError):
            await check_the_server_ends_what_takes_too_long(orders, command_database, patience=3.0)


async def test_who_has_no_time_left_gets_no_transaction(command_database: str) -> None:
    sent: list[object] = []
    async with application(command_database, sent.append) as orders:
        with pytest.raises(TimedOut):
            await orders.place(replace(call(), deadline=time.monotonic() - 1), place_order())
        assert sent == []
        # All connections are back.
        await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(4)))


@pytest.mark.parametrize("seconds", [1e-9, 0.0004, 29.9, 31.0, 1e9, float("inf")])
async def test_any_deadline_is_a_limit_that_the_server_takes(command_database: str, seconds: float) -> None:
    async with application(command_database) as orders:
        try:
            assert not (
                await orders.place(replace(call(), deadline=time.monotonic() + seconds), place_order())
            ).replayed
        except TimedOut:
            assert seconds < 1
