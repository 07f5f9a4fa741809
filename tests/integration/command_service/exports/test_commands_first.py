"""An export pauses while a command is in progress, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from command_service.application.exporting.commands_first import (
    RECENT_SECONDS,
    REST_SECONDS,
    TURN_SECONDS,
    CommandsFirst,
)
from command_service.application.exporting.order_pages import ExportedOrder
from command_service.application.exporting.selections import View
from command_service.storage.connection.connections import command_pool
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.exports import exporting
from tests.support.source_mutants import FAILURES, Mutant, noticed


async def check_an_export_lets_a_command_go_first(url: str) -> None:
    async with application(url) as orders:
        await orders.place(call(), place_order())
    async with command_pool(url, size=2, max_waiting=10, statement_seconds=30) as pool:
        commands = CommandsFirst(pool.resting, longest_pause_seconds=3600)
        async with exporting(url, commands) as exports:
            async with pool.conversation() as first:
                await first.run([("SELECT", ())])
                export = asyncio.create_task(exports.orders(View.JOURNAL))
                async with pool.conversation() as second:
                    await second.run([("SELECT", ())])
                    await _until_it_waits(pool.resting, export)
                await first.run([("SELECT", ())])
                assert not export.done(), "the export did not wait for the first command"
            assert len(await export) == 1


async def _until_it_waits(event: asyncio.Event, export: asyncio.Task[list[ExportedOrder]]) -> None:
    """Returns when somebody waits for the event. Fails if the export ends before."""
    while not event._waiters:  # there is no public way to ask
        assert not export.done(), "the export did not wait for the commands"
        await asyncio.sleep(0)


async def test_an_export_lets_a_command_go_first(command_database: str) -> None:
    await check_an_export_lets_a_command_go_first(command_database)


@pytest.mark.mutant
async def test_an_export_that_lets_nobody_go_first_would_be_seen(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: CommandsFirst) -> None:
        """Gives no turn to anybody."""

    monkeypatch.setattr(CommandsFirst, "pause", at_once)
    with pytest.raises(FAILURES):
        await check_an_export_lets_a_command_go_first(command_database)


async def test_commands_without_end_do_not_stop_an_export(command_database: str) -> None:
    async with application(command_database) as orders:
        for _ in range(3):
            await orders.place(call(), place_order())
    never = asyncio.Event()
    async with exporting(command_database, CommandsFirst(never, longest_pause_seconds=0.001)) as exports:
        assert len(await exports.orders(View.ORDER)) == 3


async def test_within_a_turn_nobody_else_runs() -> None:
    resting, others = asyncio.Event(), 0
    resting.set()
    commands = CommandsFirst(resting)

    def count() -> None:
        nonlocal others
        others += 1

    asyncio.get_running_loop().call_soon(count)
    await commands.pause()
    assert others == 1
    commands._turn_ends = float("inf")
    asyncio.get_running_loop().call_soon(count)
    await commands.pause()
    assert others == 1


async def check_an_export_rests_while_commands_arrive() -> None:
    resting, time, slept = asyncio.Event(), [0.0], list[float]()
    resting.set()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    commands = CommandsFirst(resting, longest_pause_seconds=0.001, clock=lambda: time[0], sleep=sleep)

    async def turn() -> float:
        time[0] += 2 * TURN_SECONDS
        await commands.pause()
        return slept[-1]

    assert [await turn(), await turn()] == [0.0, 0.0], "without commands it does not rest"
    resting.clear()
    await turn()
    resting.set()
    assert [await turn(), await turn()] == [REST_SECONDS, REST_SECONDS]
    time[0] += RECENT_SECONDS
    assert await turn() == 0.0


async def test_an_export_rests_while_commands_arrive() -> None:
    await check_an_export_rests_while_commands_arrive()


@pytest.mark.mutant
async def test_an_export_that_never_rests_would_be_seen() -> None:
    with noticed(Mutant(CommandsFirst.pause, "REST_SECONDS if recently else 0.0", "0.0")):
        await check_an_export_rests_while_commands_arrive()
