"""What an import stream promises, with its guards and then without: results in the order sent, and a window.

Each check is a function that fails when its guard is missing; the mutants show that it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
import pytest
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from command_service.handlers import order_commands, order_imports
from command_service.handlers.call_terms import call_terms
from command_service.handlers.order_imports import WINDOW, OrderImports
from command_service.metrics import CommandMetrics
from service_runtime.edge.service_methods import service_methods
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import application
from tests.support.commands.imports import import_all, import_requests

Check = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def served(url: str) -> AsyncIterator[tuple[Any, OrderImports]]:
    """The import handler behind a real gRPC server and over a real database, in this process."""
    async with application(url) as orders:
        metrics = CommandMetrics()
        imports = OrderImports(orders.execution, metrics, streams=1, at_once=3)
        server = grpc.aio.server()
        behaviours = {"ImportOrders": imports.import_orders}
        terms = call_terms(metrics.call, 30.0)
        server.add_generic_rpc_handlers((service_methods(order_commands.SERVICE, behaviours, terms),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield OrderCommandServiceStub(channel), imports
        finally:
            await server.stop(None)


async def check_order(url: str) -> None:
    requests = import_requests(1, 10)
    await execute(
        url,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1);"
        " RETURN NEW; END $$; CREATE TRIGGER wait BEFORE INSERT ON orders FOR EACH ROW"
        f" WHEN (NEW.order_id = '{requests[0].order_id}') EXECUTE FUNCTION wait()",
    )
    async with served(url) as (stub, _), await psycopg.AsyncConnection.connect(url) as blocker:
        await blocker.execute("SELECT pg_advisory_xact_lock(1)")
        importing = asyncio.create_task(import_all(stub, requests))
        async with asyncio.timeout(120):
            while await execute(url, "SELECT count(*) FROM orders") != [(9,)]:
                await asyncio.sleep(0.02)
        await blocker.rollback()
        results = await importing
    assert [result.request_id for result in results] == [request.request_id for request in requests]


async def check_window(url: str) -> None:
    requests = import_requests(2, WINDOW + 100)
    async with served(url) as (stub, imports):
        async with await psycopg.AsyncConnection.connect(url) as blocker:
            await blocker.execute("LOCK TABLE command_log")
            importing = asyncio.create_task(import_all(stub, requests))
            before = -1
            while imports.unanswered < WINDOW or imports.unanswered != before:
                before = imports.unanswered
                await asyncio.sleep(0.2)
            await blocker.rollback()
            assert before == WINDOW
        assert len(await importing) == len(requests)
        assert imports.unanswered == 0


CHECKS: list[Check] = [check_order, check_window]


@pytest.mark.parametrize("check", CHECKS)
async def test_the_guards_hold(check: Check, command_database: str) -> None:
    await check(command_database)


@pytest.mark.mutant
async def test_results_as_they_come_are_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = order_imports._Stream._read

    async def unordered(stream: Any) -> None:
        queue, put = stream._results, stream._results.put_nowait

        def when_done(read: Any) -> None:
            if read is None:
                asyncio.gather(*waiting, return_exceptions=True).add_done_callback(lambda _: put(None))
                return
            waiting.append(read[0])
            read[0].add_done_callback(lambda _: put(read))

        waiting: list[asyncio.Task[Any]] = []
        queue.put_nowait = when_done
        await original(stream)

    monkeypatch.setattr(order_imports._Stream, "_read", unordered)
    with pytest.raises(AssertionError):
        await check_order(command_database)


@pytest.mark.mutant
async def test_an_unbounded_window_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_imports, "WINDOW", 10**9)
    with pytest.raises(AssertionError):
        await check_window(command_database)


async def test_large_orders_fill_the_window_sooner(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = import_requests(3, 40)
    monkeypatch.setattr(order_imports, "WINDOW_BYTES", 10 * requests[0].ByteSize())
    async with served(command_database) as (stub, imports):
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE command_log")
            importing = asyncio.create_task(import_all(stub, requests))
            before = -1
            while imports.unanswered < 5 or imports.unanswered != before:
                before = imports.unanswered
                await asyncio.sleep(0.2)
            assert 5 <= before < 20
            await blocker.rollback()
        assert len(await importing) == len(requests)
