"""The same command twice at the same moment, and callers who leave meanwhile; then with the guards switched off.

Each check is a function that fails when its guard is missing; the mutants show that it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest

from command_service.application.command_call import CommandCall
from command_service.application.ports import (
    EarlierCall,
    ErasingUnitsOfWork,
    FirstCall,
    Recorded,
    Unchanged,
    UnitOfWork,
)
from command_service.domain.commands import OrderIdentity
from command_service.domain.errors import RuleViolated
from command_service.storage.command_log import RECALL
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Answer
from command_service.storage.orders import ADD_CUSTOMER
from command_service.storage.unit_of_work import PostgresUnitOfWork, PostgresUnitsOfWork
from tests.fixtures.write_model import execute, table_digests
from tests.support.commands.command_application import Application, application, call, opened_pool, place_order

Check = Callable[[Application, str], Awaitable[None]]
#: A commit waits as long as somebody holds the lock.
HELD_COMMIT = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION dawdle();
"""
WAITING_FOR_A_TWIN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'INSERT INTO command_log%'"
)
#: With a new customer the twins would wait one statement earlier, for the row of the customer.
KNOWN_CUSTOMER = "INSERT INTO customers (id) VALUES ('C1')"
IN_TRANSACTION = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
)
COMMITTING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'"
)


@asynccontextmanager
async def held_commits(url: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Orders are not committed before the block has ended, or what it is given was called."""
    await execute(url, HELD_COMMIT)
    async with await psycopg.AsyncConnection.connect(url) as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(1)")
        yield holder.rollback


async def until(url: str, statement: str, value: int) -> None:
    """Waits until a statement gives `value`."""
    async with asyncio.timeout(120):
        while await execute(url, statement) != [(value,)]:
            await asyncio.sleep(0.01)


async def check_repetition(orders: Application, url: str) -> None:
    asked, command = call(), place_order()
    first = await orders.place(asked, command)
    again = await orders.place(asked, command)
    assert (again.response, again.replayed) == (first.response, True)
    assert await execute(url, "SELECT count(*) FROM outbox") == [(1,)]


async def check_twins(orders: Application, url: str) -> None:
    asked, command = call(), place_order()
    results = await asyncio.gather(*(orders.place(asked, command) for _ in range(4)))
    assert [result.replayed for result in results].count(False) == 1
    assert len({result.response for result in results}) == 1
    assert await execute(url, "SELECT count(*) FROM outbox") == [(1,)]


async def check_commit_outlives_its_caller(orders: Application, url: str) -> None:
    asked, command = call(), place_order()
    async with held_commits(url):
        caller = asyncio.create_task(orders.place(asked, command))
        await until(url, COMMITTING, 1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await orders.pool.all_ended()
    assert await execute(url, "SELECT count(*) FROM orders") == [(1,)]
    assert (await orders.place(asked, command)).replayed


CHECKS: list[Check] = [check_repetition, check_twins, check_commit_outlives_its_caller]


@pytest.mark.parametrize("check", CHECKS)
async def test_the_guards_hold(check: Check, command_database: str) -> None:
    async with application(command_database) as orders:
        await check(orders, command_database)


async def test_a_twin_waits_for_the_first_and_gets_its_answer(command_database: str) -> None:
    await execute(command_database, KNOWN_CUSTOMER)
    async with application(command_database) as orders:
        asked, command, gate = call(), place_order(), asyncio.Event()

        async def wait(_: UnitOfWork) -> None:
            await gate.wait()

        first = asyncio.create_task(orders.place_through(wait, asked, command))
        await until(command_database, IN_TRANSACTION, 1)
        twins = [asyncio.create_task(orders.place(asked, command)) for _ in range(3)]
        await until(command_database, WAITING_FOR_A_TWIN, 3)
        gate.set()
        done = await asyncio.gather(first, *twins)
        assert [result.replayed for result in done] == [False, True, True, True]
        assert len({result.response for result in done}) == 1


async def test_a_twin_of_a_failure_does_the_work_itself(command_database: str) -> None:
    await execute(command_database, KNOWN_CUSTOMER)
    async with application(command_database) as orders:
        asked, command, gate = call(), place_order(), asyncio.Event()

        async def fail(_: UnitOfWork) -> None:
            await gate.wait()
            raise LookupError("the first one fails")

        first = asyncio.create_task(orders.place_through(fail, asked, command))
        await until(command_database, IN_TRANSACTION, 1)
        twin = asyncio.create_task(orders.place(asked, command))
        await until(command_database, WAITING_FOR_A_TWIN, 1)
        gate.set()
        with pytest.raises(LookupError):
            await first
        assert not (await twin).replayed


async def test_a_caller_who_leaves_before_the_commit_leaves_nothing(command_database: str) -> None:
    async with application(command_database) as orders:
        before = await table_digests(command_database)
        reached, asked, command = asyncio.Event(), call(), place_order()

        async def hang(_: UnitOfWork) -> None:
            reached.set()
            await asyncio.Event().wait()

        caller = asyncio.create_task(orders.place_through(hang, asked, command))
        await reached.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await table_digests(command_database) == before
        assert await execute(command_database, IN_TRANSACTION) == [(0,)]
        assert not (await orders.place(asked, command)).replayed


async def test_callers_who_leave_while_they_wait_for_a_twin_give_their_connections_back(command_database: str) -> None:
    await execute(command_database, KNOWN_CUSTOMER)
    async with application(command_database) as orders:
        asked, command, gate = call(), place_order(), asyncio.Event()

        async def wait(_: UnitOfWork) -> None:
            await gate.wait()

        first = asyncio.create_task(orders.place_through(wait, asked, command))
        await until(command_database, IN_TRANSACTION, 1)
        for _ in range(3):
            twins = [asyncio.create_task(orders.place(asked, command)) for _ in range(3)]
            await until(command_database, WAITING_FOR_A_TWIN, 3)
            for twin in twins:
                twin.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*twins, return_exceptions=True)
            )
        gate.set()
        assert not (await first).replayed


class Forgetful(PostgresUnitOfWork):
    """Mutant: no command log."""

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None = None) -> FirstCall | EarlierCall:
        assert new_order is not None
        row = await self._transaction.fetch(
            (ADD_CUSTOMER, (new_order.customer_id,)), ("SELECT clock_timestamp(), (SELECT epoch FROM source)", ())
        )
        assert row is not None
        return FirstCall(*row)


class Impatient(Forgetful):
    """Mutant: looks first and takes the key before the commit, so that twins do not wait for each other."""

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None = None) -> FirstCall | EarlierCall:
        earlier = await self._transaction.fetch((RECALL, (call.principal, call.request_id)))
        return await super().claim(call, new_order) if earlier is None else EarlierCall(*earlier)

    async def commit(self, call: CommandCall, recorded: Recorded | Unchanged) -> None:
        taking = (
            "INSERT INTO command_log (principal, request_id, fingerprint, response) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT DO NOTHING RETURNING 1"
        )
        await self._transaction.fetch((taking, (call.principal, call.request_id, call.fingerprint, recorded.response)))
        await super().commit(call, recorded)


def units_of(kind: type[PostgresUnitOfWork], units: PostgresUnitsOfWork) -> ErasingUnitsOfWork:
    class Mutant:
        @asynccontextmanager
        async def begin(self, deadline: float | None = None) -> AsyncIterator[PostgresUnitOfWork]:
            async with units.begin(deadline) as unit:
                yield kind(unit._transaction)

    return Mutant()


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "kind"),
    [(check_repetition, Forgetful), (check_twins, Forgetful), (check_twins, Impatient)],
)
async def test_a_guard_switched_off_is_noticed(
    check: Check, kind: type[PostgresUnitOfWork], command_database: str
) -> None:
    async with opened_pool(command_database) as pool:
        mutant = Application(units_of(kind, PostgresUnitsOfWork(pool)), pool)
        with pytest.raises((AssertionError, RuleViolated)):
            await check(mutant, command_database)


@pytest.mark.mutant
async def test_a_commit_that_ends_with_its_caller_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def given_up(self: Conversation, batch: Sequence[Statement], *, to_the_end: bool) -> Answer:
        return await run(self, batch)

    run = Conversation.run
    monkeypatch.setattr(Conversation, "run", given_up)
    async with application(command_database) as orders:
        with pytest.raises(AssertionError):
            await check_commit_outlives_its_caller(orders, command_database)
