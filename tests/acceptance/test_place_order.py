"""PlaceOrder by a real process: what it answers, that it can be repeated through any failure, and what it logs."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from tandem.orders import consistency_token
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import ORDER_STATE_PLACED

from tests.fixtures.command_process import CommandProcess, caller, serving
from tests.fixtures.write_model import execute, table_digests
from tests.integration.command_service.test_command_twins import COMMITTING, held_commits, until
from tests.support.commands.orders import place_order_request
from tests.support.waiting import eventually

REPLAYED = ("tandem-replayed", "true")
ONE_ORDER = [(1, 1, 1)]
COUNTS = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM outbox), (SELECT count(*) FROM command_log)"


def request() -> contract.PlaceOrderRequest:
    return place_order_request(random.Random())


async def test_an_order_placed_and_asked_for_again(command_process: CommandProcess, command_database: str) -> None:
    asked = request()
    async with caller(command_process) as commands:
        call = commands.PlaceOrder(asked)
        placed = await call
        assert REPLAYED not in tuple(await call.trailing_metadata() or ())
        before = await table_digests(command_database)
        call = commands.PlaceOrder(asked)
        again = await call
        assert REPLAYED in tuple(await call.trailing_metadata() or ())
    assert again.SerializeToString(deterministic=True) == placed.SerializeToString(deterministic=True)
    assert await table_digests(command_database) == before
    order = placed.order
    assert (order.order_id, order.version, order.state) == (asked.order_id, 1, ORDER_STATE_PLACED)
    assert order.customer == asked.customer
    assert order.shipping_address == order.billing_address == asked.shipping_address
    assert [event.event_type for event in placed.events] == ["ORDER_CREATED"]
    token = consistency_token.decode(placed.consistency_token)
    assert (token.source_epoch, dict(token.versions)) == (1, {order.order_id: 1})


async def test_bytes_of_a_repetition_are_those_of_the_first(command_process: CommandProcess) -> None:
    asked = request().SerializeToString()
    async with grpc.aio.insecure_channel(command_process.address) as channel:
        place: Any = channel.unary_unary("/tandem.orders.v1.OrderCommandService/PlaceOrder")
        first = await place(asked)
        assert [await place(asked) for _ in range(3)] == [first] * 3


async def test_ids_and_numbers_are_made_when_the_caller_names_none(command_process: CommandProcess) -> None:
    asked = request()
    asked.order_id = asked.order_number = ""
    async with caller(command_process) as commands:
        placed = await commands.PlaceOrder(asked)
        assert placed.order.order_id
        assert placed.order.order_number
        assert (await commands.PlaceOrder(asked)).order.order_id == placed.order.order_id


async def test_the_trace_of_the_caller_travels_with_the_event(
    command_process: CommandProcess, command_database: str
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    async with caller(command_process) as commands:
        await commands.PlaceOrder(request(), metadata=(("traceparent", trace),))
        await commands.PlaceOrder(request(), metadata=(("traceparent", 'forged","actor":"root'),))
    rows = await execute(command_database, "SELECT headers FROM outbox ORDER BY position")
    headers: list[Any] = [row[0] for row in rows]
    assert headers[0]["traceparent"] == trace
    assert "traceparent" not in headers[1]
    assert {header["actor"] for header in headers} == {"anonymous"}


async def test_a_deadline_during_the_commit_loses_nothing(
    command_process: CommandProcess, command_database: str
) -> None:
    asked = request()
    async with caller(command_process) as commands:
        async with held_commits(command_database):
            call = commands.PlaceOrder(asked, timeout=8)
            await until(command_database, COMMITTING, 1)
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        call = commands.PlaceOrder(asked)
        await call
        assert REPLAYED in tuple(await call.trailing_metadata() or ())
    assert await execute(command_database, COUNTS) == ONE_ORDER


async def test_a_process_killed_during_the_commit_loses_nothing(command_database: str) -> None:
    asked = request()
    async with (
        serving(command_database) as process,
        caller(process) as commands,
        held_commits(command_database),
    ):
        call = asyncio.ensure_future(commands.PlaceOrder(asked))
        await until(command_database, COMMITTING, 1)
        await process.kill()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    async with serving(command_database) as process, caller(process) as commands:
        await commands.PlaceOrder(asked)
    assert await execute(command_database, COUNTS) == ONE_ORDER


async def test_twins_over_two_processes_make_one_order(command_database: str) -> None:
    asked = request()
    async with (
        serving(command_database) as one,
        serving(command_database) as other,
        caller(one) as first,
        caller(other) as second,
    ):
        answers = await asyncio.gather(*(stub.PlaceOrder(asked) for stub in (first, second) * 10))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await execute(command_database, COUNTS) == ONE_ORDER


async def test_a_stop_lets_running_commands_finish(command_database: str) -> None:
    asked = request()
    async with (
        serving(command_database) as process,
        caller(process) as commands,
        held_commits(command_database) as let_go,
    ):
        call = asyncio.ensure_future(commands.PlaceOrder(asked))
        await until(command_database, COMMITTING, 1)
        process.signal(signal.SIGTERM)
        await eventually(lambda: bool(process.events("stopping")), "the stop begins")
        await let_go()
        assert (await call).order.order_id == asked.order_id
        assert await process.ended() == 0
        assert [entry["event"] for name in ("stopping", "stopped") for entry in process.events(name)] == [
            "stopping",
            "stopped",
        ]


def statements(process: CommandProcess) -> Sequence[str]:
    (entry,) = process.events("transaction")
    return [str(statement) for statement in entry["statements"]]


async def test_the_transaction_can_be_shown_and_no_log_shows_a_person(command_database: str) -> None:
    asked = request()
    asked.customer.display_name, asked.reason = "Erika Mustermann", "she phoned"
    async with serving(command_database, log_sql="true", log_level="DEBUG") as process, caller(process) as commands:
        await commands.PlaceOrder(asked)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        sent = statements(process)
        assert (sent[0].split()[0], sent[-1]) == ("BEGIN", "COMMIT")
        assert len(sent) == 8
        log = "\n".join(process.log)
    for secret in ("Mustermann", "phoned", "example.org", "Hauptstra", command_database):
        assert secret not in log


async def test_a_defect_tells_the_caller_an_incident_and_the_log_where(
    command_process: CommandProcess, command_database: str
) -> None:
    await execute(command_database, "ALTER TABLE outbox RENAME COLUMN salt TO pepper")
    async with caller(command_process) as commands:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await commands.PlaceOrder(request())
    refused = from_rpc_error(raised.value)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    (incident,) = command_process.events("incident")
    assert incident["incident"] == refused.metadata["incident"]
    assert incident["sqlstate"] == "42703"
    assert not any(word in refused.message for word in ("salt", "column", "INSERT"))
