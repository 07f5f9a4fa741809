"""Commands on one order at the same moment: one after the other, none lost; then with the guards switched off.

Each check is a function that fails when its guard is missing; the mutants show that it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
import pytest

from command_service.application.errors import CommandError
from command_service.domain import commands
from command_service.domain.errors import RuleViolated, VersionMismatch
from command_service.domain.money import Money
from command_service.storage import unit_of_work
from command_service.storage.stored_orders import LOAD, LOCK
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, application, call, place_order
from tests.support.commands.journal import journal_faults

Check = Callable[[Application, str], Awaitable[None]]
CALLERS = 4
#: Each command stays between the write of its order and the end for a while: whoever did not lock meets another there.
DAWDLE = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION dawdle();
"""
WAITING_FOR_THE_ORDER = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'SELECT version FROM orders%'"
)


async def placed(orders: Application) -> UUID:
    command = place_order()
    await orders.place(call(), command)
    return command.order_id


def payment(order_id: UUID, name: str) -> commands.RecordPayment:
    return commands.RecordPayment(order_id, name, Money("EUR", 1), "card")


async def check_no_payment_is_lost(orders: Application, url: str) -> None:
    order_id = await placed(orders)
    await execute(url, DAWDLE)
    await asyncio.gather(*(orders.change(call(), payment(order_id, f"P{n}")) for n in range(CALLERS)))
    assert (await orders.stored(order_id)).amounts.paid == CALLERS
    assert await journal_faults(url) == []


async def check_one_of_many_holds(orders: Application, url: str) -> None:
    order_id = await placed(orders)
    await execute(url, DAWDLE)
    done = await asyncio.gather(
        *(orders.change(call(), commands.HoldOrder(order_id)) for _ in range(CALLERS)), return_exceptions=True
    )
    assert sum(isinstance(result, RuleViolated) for result in done) == CALLERS - 1
    assert await journal_faults(url) == []


async def check_one_of_many_who_expect_a_version(orders: Application, url: str) -> None:
    order_id = await placed(orders)
    await execute(url, DAWDLE)
    asked = [replace(call(), expected_version=1) for _ in range(CALLERS)]
    done = await asyncio.gather(
        *(orders.change(each, payment(order_id, f"P{n}")) for n, each in enumerate(asked)), return_exceptions=True
    )
    mismatches = [result for result in done if isinstance(result, VersionMismatch)]
    assert [each.details["current_version"] for each in mismatches] == ["2"] * (CALLERS - 1)
    assert await journal_faults(url) == []


async def check_times_rise_under_a_clock_that_went_back(orders: Application, url: str) -> None:
    order_id = await placed(orders)
    # As a clock that was an hour ahead would have left it.
    await execute(url, "UPDATE orders SET recorded_at = recorded_at + interval '1 hour'")
    ((before,),) = await execute(url, "SELECT recorded_at FROM orders")
    await orders.change(call(), payment(order_id, "P"))
    ((step,),) = await execute(url, f"SELECT (recorded_at - '{before}')::text FROM orders")
    assert step == "00:00:00.000001"


SERIAL: tuple[Check, ...] = (
    check_no_payment_is_lost,
    check_one_of_many_holds,
    check_one_of_many_who_expect_a_version,
)
CHECKS: tuple[Check, ...] = (*SERIAL, check_times_rise_under_a_clock_that_went_back)


@dataclass(frozen=True)
class Mutant:
    """Other statements to lock and load an order, and the checks that notice."""

    lock: str
    load: str
    noticed_by: tuple[Check, ...]


MUTANTS = {
    "no lock": Mutant(LOCK.removesuffix(" FOR NO KEY UPDATE"), LOAD, SERIAL),
    # Lines and movements are then read as they were before the wait for the lock.
    "locked and read by one statement": Mutant("SELECT $1::uuid", f"{LOAD} FOR NO KEY UPDATE", SERIAL[:1]),
    "the clock as it is": Mutant(
        LOCK,
        LOAD.replace("greatest(clock_timestamp(), recorded_at + interval '1 microsecond')", "clock_timestamp()"),
        CHECKS[3:],
    ),
}


@pytest.mark.parametrize("check", CHECKS)
async def test_the_guards_hold(check: Check, command_database: str) -> None:
    async with application(command_database) as orders:
        await check(orders, command_database)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        pytest.param(each, check, id=f"{name}-{check.__name__}")
        for name, each in MUTANTS.items()
        for check in each.noticed_by
    ],
)
async def test_a_missing_guard_is_noticed(
    mutant: Mutant, check: Check, command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (mutant.lock, mutant.load) != (LOCK, LOAD)
    monkeypatch.setattr(unit_of_work, "LOCK", mutant.lock)
    monkeypatch.setattr(unit_of_work, "LOAD", mutant.load)
    async with application(command_database) as orders:
        with pytest.raises((AssertionError, CommandError, psycopg.Error)):
            await check(orders, command_database)


async def test_commands_on_many_orders_at_once_keep_each_order_in_line(command_database: str) -> None:
    async with application(command_database) as orders:
        order_ids = [await placed(orders) for _ in range(5)]
        work = [orders.change(call(), payment(order_id, f"P{n}")) for n in range(20) for order_id in order_ids]
        await asyncio.gather(*work)
        assert [(await orders.stored(order_id)).version for order_id in order_ids] == [21] * 5
    assert await journal_faults(command_database) == []


async def until_waiting(url: str, count: int) -> None:
    async with asyncio.timeout(120):
        while await execute(url, WAITING_FOR_THE_ORDER) != [(count,)]:
            await asyncio.sleep(0.01)


async def test_a_deadlock_is_made_good_within_the_call(command_database: str) -> None:
    async with application(command_database) as orders:
        order_id, asked = await placed(orders), call()
        async with await psycopg.AsyncConnection.connect(command_database) as other:
            await other.execute("SET deadlock_timeout = '60s'")  # the command is the one to notice
            await other.execute("SELECT 1 FROM orders FOR UPDATE")
            command = asyncio.create_task(orders.change(asked, commands.HoldOrder(order_id)))
            await until_waiting(command_database, 1)
            # The command has the request id and waits for the order; this one has the order and wants the request id.
            await other.execute(
                "INSERT INTO command_log (principal, request_id, fingerprint) VALUES (%s, %s, '')",
                (asked.principal, asked.request_id),
            )
            await other.rollback()
            assert not (await command).replayed
        assert (await orders.stored(order_id)).on_hold
    assert await journal_faults(command_database) == []


async def test_a_connection_lost_while_waiting_for_the_order_is_made_good(command_database: str) -> None:
    async with application(command_database) as orders:
        order_id = await placed(orders)
        async with await psycopg.AsyncConnection.connect(command_database) as other:
            await other.execute("SELECT 1 FROM orders FOR UPDATE")
            command = asyncio.create_task(orders.change(call(), commands.HoldOrder(order_id)))
            await until_waiting(command_database, 1)
            kill = WAITING_FOR_THE_ORDER.replace("count(*)", "pg_terminate_backend(pid, 5000)")
            assert await execute(command_database, kill) == [(True,)]
            await until_waiting(command_database, 1)  # it is there again, on another connection
            await other.rollback()
        assert not (await command).replayed
        assert (await orders.stored(order_id)).version == 2
    assert await journal_faults(command_database) == []


async def test_a_caller_who_leaves_while_waiting_leaves_nothing(command_database: str) -> None:
    async with application(command_database) as orders:
        order_id = await placed(orders)
        async with await psycopg.AsyncConnection.connect(command_database) as other:
            await other.execute("SELECT 1 FROM orders FOR UPDATE")
            command = asyncio.create_task(orders.change(call(), commands.HoldOrder(order_id)))
            await until_waiting(command_database, 1)
            command.cancel()
            with pytest.raises(asyncio.CancelledError):
                await command
            await other.rollback()
        assert (await orders.stored(order_id)).version == 1
        assert await execute(command_database, "SELECT count(*) FROM command_log") == [(1,)]
