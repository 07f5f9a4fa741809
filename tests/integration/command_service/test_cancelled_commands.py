"""Callers leave, once and twice, and connections break, at any step of the driver: what goes back to the pool is whole.

Each check is a function that fails when its guard is missing; the mutants show that it does.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import DivisionByZero, InvalidSqlStatementName
from psycopg.pq import PipelineStatus
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderResponse

from command_service.application.errors import CommandError, ConnectionBroken
from command_service.application.execution import ATTEMPTS
from command_service.storage import database_errors
from command_service.storage.connection import conversation
from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.connections import APPLICATION_NAME, CommandPool
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Answer, OutOfStep, RoundTrip
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from service_runtime.process import cancel
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, call, opened_pool, place_order
from tests.support.commands.driver_steps import Blow, driver_steps
from tests.support.commands.journal import journal_faults
from tests.support.faults.rough_way import rough_way
from tests.support.source_mutants import Mutant
from tests.support.waiting import eventually

SIZE = 2
#: More steps than a PlaceOrder and what follows a cancelled one take.
MOST_STEPS = 40
#: Callers that wait for a lock.
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'INSERT INTO command_log%'"
)
#: Of all sessions of a pool; how many there were.
END_SESSIONS = (
    "SELECT count(pg_terminate_backend(pid, 120_000)) FROM pg_stat_activity"
    f" WHERE datname = current_database() AND application_name = '{APPLICATION_NAME}'"
)
#: Server-side only: the driver does not notice.
FORGET = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"


async def check_a_pool(pool: CommandPool) -> None:
    """All connections are there, at rest, and answer what they are asked."""
    await eventually(lambda: pool.get_stats()["pool_available"] == SIZE, "all connections are back")
    async with AsyncExitStack() as lent:
        for _ in range(SIZE):
            connection = await lent.enter_async_context(pool.connection())
            assert connection.info.pipeline_status == PipelineStatus.OFF, "in pipeline mode"
            question = str(uuid4())
            cursor = await connection.execute("SELECT $1::text", (question,))
            assert cursor.rowcount == 1, "no answer"
            assert await cursor.fetchone() == (question,), "the answer to another question"


async def place_and_check(orders: Application, cancelled: Callable[[asyncio.Task[object]], None]) -> None:
    """A command whose caller is cancelled, and the same again, done once; each answer is about its own order."""
    asked, command = call(), place_order(order_number=str(uuid4()))
    victim = asyncio.create_task(orders.place(asked, command))
    cancelled(victim)
    (end,) = await asyncio.gather(victim, return_exceptions=True)
    assert not isinstance(end, Exception) or isinstance(end, CommandError), repr(end)
    others = [(call(), place_order(order_number=str(uuid4()))) for _ in range(SIZE)]
    for (_, sent), result in zip(
        [(asked, command), *others],
        await asyncio.gather(*(orders.place(*each) for each in [(asked, command), *others])),
        strict=True,
    ):
        answered = PlaceOrderResponse.FromString(result.response).order
        assert (answered.order_id, answered.order_number) == (str(sent.order_id), sent.order_number), "foreign answer"
    await check_a_pool(orders.pool)


@contextmanager
def errors_that_nobody_heard() -> Iterator[None]:
    """Fails when the block leaves any."""
    unheard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(str(context)))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert unheard == []


async def check_any_step(url: str, pairs: Sequence[tuple[int, int]], *, cut: bool = False) -> None:
    """At the steps of each pair the caller is cancelled; with `cut`, the connection breaks at the first of them."""
    with errors_that_nobody_heard():
        await cancel_at_each(url, pairs, cut=cut)
    assert await journal_faults(url) == []
    assert await execute(url, "SELECT count(*) FROM orders") == [(len(pairs) * (1 + SIZE),)]


async def cancel_at_each(url: str, pairs: Sequence[tuple[int, int]], *, cut: bool) -> None:
    async with opened_pool(url, size=SIZE) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        with driver_steps() as steps:
            for pair in pairs:

                def cancelled(victim: asyncio.Task[object], pair: tuple[int, int] = pair) -> None:
                    blows: dict[int, Blow] = dict.fromkeys(pair, lambda _: victim.cancel())
                    if cut:
                        blows[pair[0]] = lambda connection: Conversation(connection, 1.0).hang_up()
                    steps.restart(blows)

                await place_and_check(orders, cancelled)


ONCE = [(step, step) for step in range(1, MOST_STEPS)]
TWICE = [(first, first + gap) for first in range(1, 27, 2) for gap in (1, 2, 5)]


async def test_callers_may_leave_at_any_step(command_database: str) -> None:
    await check_any_step(command_database, ONCE)


async def test_callers_may_be_cancelled_twice(command_database: str) -> None:
    await check_any_step(command_database, TWICE)


async def test_connections_may_break_while_callers_leave(command_database: str) -> None:
    await check_any_step(command_database, [(step, step + 1) for step in range(1, 27)], cut=True)


async def check_who_leaves_the_queue(url: str) -> None:
    """A caller leaves around the moment in which it is given a connection."""
    async with opened_pool(url, size=SIZE) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        for before, after in itertools.product(range(4), range(4)):
            async with AsyncExitStack() as lent:
                for _ in range(SIZE):
                    await lent.enter_async_context(pool.conversation())
                waiting = asyncio.create_task(orders.place(call(), place_order()))
                await eventually(lambda: pool.waiting == 1, "the caller waits")
                leaving = asyncio.create_task(_after(before, waiting.cancel))
                await _after(after, lambda: None)
            await asyncio.gather(waiting, leaving, return_exceptions=True)
            await check_a_pool(pool)


async def _after(turns: int, act: Callable[[], object]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    act()


async def test_callers_may_leave_when_it_is_their_turn(command_database: str) -> None:
    await check_who_leaves_the_queue(command_database)


async def test_callers_may_leave_while_they_wait_for_a_lock(command_database: str) -> None:
    """The server is asked to end what it does for them: nobody else ends it here."""
    # With a new customer only the first caller would wait for the table, and the others for that customer's row.
    await execute(command_database, "INSERT INTO customers (id) VALUES ('C1')")
    async with opened_pool(command_database, size=SIZE) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        async with await psycopg.AsyncConnection[Any].connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE command_log")
            waiting = [asyncio.create_task(orders.place(call(), place_order())) for _ in range(SIZE)]
            async with asyncio.timeout(120):
                while await execute(command_database, WAITING) != [(SIZE,)]:
                    await asyncio.sleep(0.01)
            for each in waiting:
                each.cancel()
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await pool.all_ended()
            assert await execute(command_database, WAITING) == [(0,)]
            await check_a_pool(pool)
    assert await execute(command_database, "SELECT count(*) FROM orders") == [(0,)]


async def test_callers_may_leave_while_the_server_is_silent(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot be asked to end something is hung up on, and the pool is filled again."""
    monkeypatch.setattr(conversation, "CANCEL_SECONDS", 0.2)
    async with rough_way(command_database) as (way, url), opened_pool(url, size=SIZE) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        way.fall_silent()
        waiting = [asyncio.create_task(orders.place(call(), place_order())) for _ in range(SIZE)]
        await eventually(lambda: pool.get_stats()["pool_available"] == 0, "the commands are under way")
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.wait_for(pool.all_ended(), 120)
        way.speak_again()
        await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(2 * SIZE)))
        await check_a_pool(pool)
    assert await execute(command_database, "SELECT count(*) FROM orders") == [(2 * SIZE,)]


async def run_for_the_caller_alone(
    self: Conversation, batch: Sequence[Statement], *, to_the_end: bool = False
) -> Answer:
    """Mutant: nobody reads the answers after the caller has left."""
    self._trip = trip = RoundTrip(self.connection.pgconn, self.connection.writer, batch)
    try:
        await trip.over
    except asyncio.CancelledError:
        trip._end(OutOfStep("interrupted"))
        raise
    return trip.answer


async def end_without_proof(*_: object) -> None:
    """Mutant: the connection goes back as it is."""


@asynccontextmanager
async def swept_up() -> AsyncIterator[None]:
    """What a mutant has torn is thrown away here, where its complaints are expected, and not in a later test."""
    others = asyncio.all_tasks()
    yield
    torn = asyncio.all_tasks() - others
    with suppress(Exception):
        await cancel(*torn)
    del torn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda _: None)
        gc.collect()


@pytest.mark.mutant
async def test_a_round_trip_that_is_interrupted_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conversation, "run", run_for_the_caller_alone)
    monkeypatch.setattr(Conversation, "end", end_without_proof)
    monkeypatch.setattr(CommandPool, "_reset_connection", end_without_proof)  # the pool's own guard
    async with swept_up():
        with pytest.raises(Exception):  # noqa: B017 - what comes of a connection that still awaits answers is chance
            await check_any_step(command_database, ONCE)


@pytest.mark.mutant
async def test_a_connection_that_goes_back_without_proof_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conversation, "end", end_without_proof)
    monkeypatch.setattr(CommandPool, "_reset_connection", end_without_proof)  # the pool's own guard
    async with swept_up():
        with pytest.raises(Exception):  # noqa: B017 - what comes of another one's answer, or of none, is chance
            await check_any_step(command_database, ONCE)


async def check_failed_batches_leave_nothing_prepared(url: str) -> None:
    """What comes after an error is not prepared, although it was sent."""
    async with opened_pool(url, size=1) as pool:
        with pytest.raises(DivisionByZero):
            async with pool.conversation() as talk:
                await talk.run([("SELECT 1 / $1", (0,)), ("SELECT 2 * $1", (1,))])
        async with pool.conversation() as talk:
            assert (await talk.run([("SELECT 2 * $1", (1,))])).row() == (2,)


async def test_failed_batches_leave_nothing_prepared(command_database: str) -> None:
    await check_failed_batches_leave_nothing_prepared(command_database)


@pytest.mark.mutant
async def test_what_is_not_forgotten_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two guards: only what the server has prepared counts as prepared, and after an error nothing does."""
    monkeypatch.setattr(CommandConnection, "start_anew", CommandConnection.end_transaction)
    await check_failed_batches_leave_nothing_prepared(command_database)
    sent = "self._awaited.append(key)"
    with (
        Mutant(RoundTrip.__init__, sent, f"{sent}; writer.prepared.add(key)").at_work(),
        pytest.raises(InvalidSqlStatementName),
    ):
        await check_failed_batches_leave_nothing_prepared(command_database)


async def check_what_the_server_forgot_is_prepared_anew(url: str) -> None:
    async with opened_pool(url, size=1) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        for _ in range(10):
            await orders.place(call(), place_order())
        async with pool.conversation() as talk:
            await talk.run([(FORGET, ())])
        assert not (await orders.place(call(), place_order())).replayed


async def test_what_the_server_forgot_is_prepared_anew(command_database: str) -> None:
    await check_what_the_server_forgot_is_prepared_anew(command_database)


@pytest.mark.mutant
async def test_a_forgotten_statement_that_is_not_tried_again_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_errors, "_OUT_OF_STEP", ())
    with pytest.raises(InvalidSqlStatementName):
        await check_what_the_server_forgot_is_prepared_anew(command_database)


async def check_sessions_ended_while_idle(url: str) -> None:
    """As by a server that starts again, or by an administrator: more connections than a command has tries."""
    async with opened_pool(url, size=ATTEMPTS + 2) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        for width in (1, 2 * ATTEMPTS):
            assert await execute(url, END_SESSIONS) == [(ATTEMPTS + 2,)]
            placed = [orders.place(call(), place_order()) for _ in range(width)]
            assert not any(result.replayed for result in await asyncio.gather(*placed))
            await eventually(lambda: pool.get_stats()["pool_available"] == ATTEMPTS + 2, "all are replaced")


async def test_sessions_ended_while_idle_cost_no_command(command_database: str) -> None:
    await check_sessions_ended_while_idle(command_database)


@pytest.mark.mutant
async def test_an_ended_session_that_is_lent_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommandConnection, "spoken_to", False)
    with pytest.raises(ConnectionBroken):
        await check_sessions_ended_while_idle(command_database)


async def test_a_conversation_takes_one_batch_at_a_time(command_database: str) -> None:
    """Whoever goes on after having been cancelled would read the answer to what was sent before."""
    async with opened_pool(command_database, size=1) as pool, pool.conversation() as talk:
        first = asyncio.create_task(talk.run([("SELECT pg_sleep(0.2)", ())]))
        await asyncio.sleep(0)
        with pytest.raises(OutOfStep):
            await talk.run([("SELECT 1", ())])
        await first


async def test_an_answer_to_another_question_closes_the_connection(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_pool(command_database, size=1) as pool:
        monkeypatch.setattr(CommandConnection, "_proofs", itertools.repeat(math.nan))
        with pytest.raises(DivisionByZero):
            async with pool.conversation() as talk:
                await talk.run([("SELECT 1 / 0", ())])
        assert talk.connection.closed
        async with pool.conversation() as another:
            assert (await another.run([("SELECT 1", ())])).row() == (1,)
