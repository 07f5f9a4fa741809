"""A database that falls silent: commands that wait for it are refused as soon as the process knows, in its words."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
import pytest
from tandem.orders.errors import DependencyUnavailable as Unavailable
from tandem.orders.errors import OrderError, from_rpc_error
from tandem.orders.retry import repeat_async

from command_service.application.errors import DependencyUnavailable, Overloaded
from command_service.storage.availability import DatabaseWatch
from command_service.storage.connection import connections
from command_service.storage.connection.connections import CommandPool
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from service_runtime import countdown
from tests.fixtures.command_process import caller, serving
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, call, opened_pool, place_order
from tests.support.commands.imports import import_requests, import_until_broken
from tests.support.commands.orders import place_order_request
from tests.support.faults.rough_way import rough_way
from tests.support.waiting import eventually


async def test_waiting_commands_are_refused_once_the_silence_is_known(command_database: str) -> None:
    """Callers set no deadline of their own: without the watch's word all would wait for the service's cap."""
    async with rough_way(command_database) as (way, url), serving(url) as process, caller(process) as stub:
        await stub.PlaceOrder(place_order_request(random.Random(1)), timeout=60)
        way.fall_silent()
        orders = [place_order_request(random.Random(seed)) for seed in range(2, 7)]
        importing = asyncio.create_task(import_until_broken(process.address, import_requests(1, 3)))
        ends = await asyncio.gather(*(stub.PlaceOrder(order) for order in orders), return_exceptions=True)
        _, broken = await importing
        for end in [*ends, broken]:
            assert isinstance(end, grpc.RpcError)
            refusal = from_rpc_error(end)
            assert isinstance(refusal, Unavailable), refusal
            assert refusal.metadata["dependency"] == "postgres"
        way.speak_again()
        for order in orders:
            answer = await repeat_async(stub.PlaceOrder, order)
            assert answer.order.order_id == order.order_id or not order.order_id
        assert process.events("incident") == []
        assert process.events("side task failed") == []
    assert await execute(command_database, "SELECT count(*) FROM orders") == [(6,)]


async def test_a_process_that_stops_watches_to_its_end(command_database: str) -> None:
    """Its last callers would otherwise wait as long as it gives them."""
    settings = dict.fromkeys(("deadline_cap_seconds", "shutdown_grace_seconds"), "600")
    async with (
        rough_way(command_database) as (way, url),
        serving(url, **settings) as process,
        caller(process) as stub,
    ):
        await stub.PlaceOrder(place_order_request(random.Random(1)), timeout=60)
        heard: list[bytes] = []
        way.heard = heard.append
        way.fall_silent()
        calls = [asyncio.create_task(one) for one in map(end_of, [stub] * 3, range(2, 5))]
        importing = asyncio.create_task(import_until_broken(process.address, import_requests(1, 3)))
        await eventually(
            # On a slow machine the silence may be known first.
            lambda: b"".join(heard).count(b"anonymous") >= 6 or bool(process.events("database unavailable")),
            "all are at work",
        )
        process.signal(signal.SIGTERM)
        assert {type(end) for end in await asyncio.gather(*calls)} == {Unavailable}
        _, broken = await importing
        assert broken is not None
        assert from_rpc_error(broken).reason == "DEPENDENCY_UNAVAILABLE"
        assert await process.ended() == 0


async def end_of(stub: Any, seed: int) -> OrderError | None:
    """What a caller without a deadline is told; None: that it was done."""
    try:
        await stub.PlaceOrder(place_order_request(random.Random(seed)))
    except grpc.RpcError as error:
        return from_rpc_error(error)
    return None


@asynccontextmanager
async def watched(pool: CommandPool, url: str) -> AsyncIterator[DatabaseWatch]:
    """A watch that tells the pool, as the service's does."""

    async def on_change(available: bool) -> None:
        if available:
            await pool.check_idle()
        else:
            pool.hang_up()

    watch = DatabaseWatch(url, on_change)
    watching = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def check_waiting_commands(database: str, patience: float = 120.0) -> None:
    async with rough_way(database) as (way, url), opened_pool(url) as pool, watched(pool, url) as watch:
        orders = Application(PostgresUnitsOfWork(pool, available=lambda: watch.available), pool)
        await orders.place(call(), place_order())
        way.fall_silent()
        placing = asyncio.create_task(orders.place(call(), place_order()))
        try:
            await eventually(lambda: not watch.available, "the silence is known")
            with pytest.raises(DependencyUnavailable):
                await asyncio.wait_for(asyncio.shield(placing), patience)
        finally:
            way.speak_again()
            await asyncio.gather(placing, return_exceptions=True)
        await eventually(lambda: watch.available, "it speaks again")
        # Also over the connections that were broken.
        await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(4)))


async def test_commands_over_broken_connections_go_on(command_database: str) -> None:
    await check_waiting_commands(command_database)


async def test_idle_connections_are_looked_at_all_at_once(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they would keep the watch from watching, in a silence for seconds each."""
    monkeypatch.setattr(connections, "CHECK_SECONDS", 300.0)
    async with rough_way(command_database) as (way, url), opened_pool(url) as pool:
        way.fall_silent()
        checking = asyncio.create_task(pool.check_idle())
        await eventually(lambda: pool.get_stats()["pool_available"] == 0, "all are being looked at")
        way.speak_again()
        await checking
        await eventually(lambda: pool.get_stats()["pool_available"] == pool.max_size, "all are back")


async def check_commands_that_wait_for_a_connection(database: str, *, asked: bool = True) -> None:
    """All connections wait for a silent database, and it is not yet known to be away."""
    async with rough_way(database) as (way, url), opened_pool(url, size=1) as pool, watched(pool, url) as watch:
        orders = Application(PostgresUnitsOfWork(pool, answering=lambda: watch.answering or not asked), pool)
        async with orders.units.begin():
            way.fall_silent()
            await eventually(lambda: not watch.answering, "nobody answers the watch")
            pool.timeout = 0.05
            with pytest.raises(DependencyUnavailable):
                await orders.place(call(), place_order())
            way.speak_again()
            await eventually(lambda: watch.answering, "the watch is answered again")
            with pytest.raises(Overloaded):
                await orders.place(call(), place_order())


async def test_commands_that_wait_for_a_connection_are_told_why(command_database: str) -> None:
    await check_commands_that_wait_for_a_connection(command_database)


@pytest.mark.mutant
async def test_a_silence_that_is_taken_for_an_overload_is_noticed(command_database: str) -> None:
    with pytest.raises(Overloaded):
        await check_commands_that_wait_for_a_connection(command_database, asked=False)


@pytest.mark.mutant
async def test_commands_that_wait_on_are_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommandPool, "hang_up", lambda _: None)
    with pytest.raises(TimeoutError):
        await check_waiting_commands(command_database, patience=2.0)


async def talked_after_a_standstill(pool: CommandPool) -> bool:
    """Whether a conversation goes on whose answer comes just after this process stood still for longer than allowed."""
    while True:
        async with pool.conversation(answer_seconds=1.0) as conversation:
            answer = asyncio.create_task(conversation.run([("SELECT pg_sleep(1.4)", ())]))
            await asyncio.sleep(0)  # it is asked for
            await asyncio.sleep(0)
            if answer.done():  # so slow a turn of a loaded machine tells nothing
                continue
            time.sleep(1.3)  # noqa: ASYNC251 - nothing in this process gets to work
            try:
                await answer
                await conversation.run([("SELECT", ())])
            except psycopg.Error:
                return False
            return True


async def test_a_busy_process_does_not_take_itself_for_a_silent_database(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_pool(command_database) as pool:
        assert await talked_after_a_standstill(pool)
        # Mutant: a clock that runs on while nothing can be read.
        monkeypatch.setattr(countdown, "STEPS", 1)
        assert not await talked_after_a_standstill(pool)
