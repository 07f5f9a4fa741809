"""The service is gone after the first, the second, … the last message of a command to its database.

Whatever had arrived by then: the same request, sent again, is done once in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from command_service.application import execution
from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import CommandError
from command_service.domain import commands
from command_service.domain.money import Money
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, application, call, place_order
from tests.support.commands.journal import journal_faults
from tests.support.faults.message_cutter import MessageCutter, message_cutter

#: Sends a command under this call.
Send = Callable[[CommandCall], Awaitable[CommandResult]]


async def killed_everywhere(orders: Application, cutter: MessageCutter, url: str, fresh: Callable[[], Send]) -> int:
    """Cuts a new command after each number of messages until one gets through; how many were done by the cut one."""
    done_before_the_cut = 0
    for messages in range(1_000):
        asked, send = call(), fresh()
        before = await count(url)
        await orders.pool.check()  # connections that the cut before left broken would be cut before their time
        cutter.left = messages
        try:
            first = await send(asked)
        except CommandError:
            first = None
        cutted, cutter.left = cutter.left == 0, None
        again = await until_answered(send, asked)
        assert await count(url) == before + 1, f"after {messages} messages"
        if first is not None and not cutted:
            assert (again.response, again.replayed) == (first.response, True)
            return done_before_the_cut
        done_before_the_cut += again.replayed
    raise AssertionError("a command takes more than a thousand messages")


async def until_answered(send: Send, asked: CommandCall) -> CommandResult:
    async with asyncio.timeout(200):
        while True:
            try:
                return await send(asked)
            except CommandError:
                await asyncio.sleep(0.01)


async def count(url: str) -> int:
    ((events,),) = await execute(url, "SELECT count(*) FROM outbox")
    assert isinstance(events, int)
    return events


async def test_an_order_is_placed_once(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "ATTEMPTS", 1)  # the service is gone: what tries again is the caller
    async with message_cutter(command_database) as (cutter, url), application(url) as orders:

        def fresh() -> Send:
            command = place_order()
            return lambda asked: orders.place(asked, command)

        assert await killed_everywhere(orders, cutter, command_database, fresh) >= 1
    assert await journal_faults(command_database) == []


async def test_a_payment_is_recorded_once(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "ATTEMPTS", 1)
    order_id: UUID = place_order().order_id
    async with message_cutter(command_database) as (cutter, url), application(url) as orders:
        await orders.place(call(), place_order(order_id))

        def fresh() -> Send:
            def send(asked: CommandCall) -> Awaitable[CommandResult]:
                name = str(asked.derived_id("payment"))
                return orders.change(asked, commands.RecordPayment(order_id, name, Money("EUR", 1), "card"))

            return send

        assert await killed_everywhere(orders, cutter, command_database, fresh) >= 1
        assert (await orders.stored(order_id)).amounts.paid == await count(command_database) - 1
    assert await journal_faults(command_database) == []
