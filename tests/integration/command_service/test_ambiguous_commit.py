"""The answer to COMMIT is lost on its way: the order is there, and the caller must learn so, not get a second one."""

from __future__ import annotations

import asyncio

import pytest

from command_service.application import execution
from command_service.application.errors import ConnectionBroken
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.commit_cutter import cutter
from tests.support.waiting import eventually


async def test_a_lost_answer_is_found_again(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url), application(url) as orders:
        proxy.cuts_left = 1
        result = await orders.place(call(), place_order())
        assert proxy.cut == 1
        # The second attempt met the first one's claim.
        assert result.replayed
        assert await execute(command_database, "SELECT response FROM command_log") == [(result.response,)]
        assert await execute(command_database, "SELECT count(*) FROM outbox") == [(1,)]


async def test_answers_lost_again_and_again_leave_it_to_the_caller(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "ATTEMPTS", 1)
    async with cutter(command_database) as (proxy, url), application(url) as orders:
        asked, command = call(), place_order()
        proxy.cuts_left = 1
        with pytest.raises(ConnectionBroken):
            await orders.place(asked, command)
        assert (await orders.place(asked, command)).replayed
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(1,)]


async def test_an_answer_that_never_comes_breaks_the_connection(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url), application(url, answer_seconds=0.5) as orders:
        proxy.silent, proxy.cuts_left = True, 1
        result = await orders.place(call(), place_order())
        assert (proxy.cut, result.replayed) == (1, True)
        # The pool is whole again: as many commands at once as it has connections.
        await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(4)))
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(5,)]


async def test_a_commit_without_an_answer_does_not_outlive_a_stop(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url):
        async with application(url, answer_seconds=1.0) as orders:
            proxy.silent, proxy.cuts_left = True, 1
            leaving = asyncio.create_task(orders.place(call(), place_order()))
            await eventually(lambda: proxy.cut == 1, "the commit's answer is swallowed")
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            await asyncio.wait_for(orders.pool.all_ended(), 30)
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(1,)]
