"""The serving process under pressure and without its database: refusals that say when to come back, never a hang."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import grpc
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tandem.orders.errors import OrderError, from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.storage.connection.connections import ACQUIRE_SECONDS
from command_service.storage.revision import required_revision
from command_service.storage.schema import migrate
from devstack.servers.ports import free_port
from tests.fixtures.command_process import CommandProcess, caller, serving
from tests.fixtures.private_servers import PrivatePostgres
from tests.fixtures.write_model import execute
from tests.support.commands.orders import place_order_request

COMMANDS = "tandem.orders.v1.OrderCommandService"


def request() -> contract.PlaceOrderRequest:
    return place_order_request(random.Random())


async def outcome(process: CommandProcess, timeout: float | None = None) -> OrderError | None:
    """Places an order; the refusal, if it is one."""
    async with caller(process) as commands:
        try:
            await commands.PlaceOrder(request(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
    return None


async def health(process: CommandProcess, service: str) -> int:
    async with grpc.aio.insecure_channel(process.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return answer.status


def page(process: CommandProcess, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{process.probes}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def looked_at(process: CommandProcess, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(page, process, path)


async def test_who_is_ready_says_so(command_process: CommandProcess) -> None:
    for service in (COMMANDS, ""):
        assert await health(command_process, service) == health_pb2.HealthCheckResponse.SERVING
    for path in ("/livez", "/readyz"):
        assert (await looked_at(command_process, path))[0] == 200
    assert await outcome(command_process) is None
    metrics = (await looked_at(command_process, "/metrics"))[1]
    assert 'command_calls_total{code="OK",method="PlaceOrder"} 1.0' in metrics
    assert "command_database_available 1.0" in metrics


async def test_calls_above_the_limit_are_refused_at_once_and_the_others_finish(command_database: str) -> None:
    async with serving(command_database, max_concurrent_rpcs="3", pool_size="3") as process:
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE orders")
            calls = {asyncio.ensure_future(outcome(process)) for _ in range(12)}
            refused = set[asyncio.Future[OrderError | None]]()
            while len(refused) < 9:
                done, _ = await asyncio.wait(calls - refused, timeout=120, return_when=asyncio.FIRST_COMPLETED)
                assert done, "nobody is refused"
                refused |= done
            await blocker.rollback()
        for call in refused:
            error = call.result()
            assert error is not None
            assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert error.retry_delay is not None
        assert [await call for call in calls - refused] == [None, None, None]
        assert await outcome(process) is None
        assert "command_refused_calls 9.0" in (await looked_at(process, "/metrics"))[1]


async def test_no_call_takes_longer_than_any_may(command_database: str) -> None:
    async with serving(command_database, deadline_cap_seconds="3") as process:
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE orders")
            refused = await outcome(process)
            await blocker.rollback()
        assert refused is not None
        assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert await outcome(process) is None


async def test_an_outage_of_the_database_is_told_and_survived(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres()
    await asyncio.to_thread(migrate, server.url)
    async with serving(server.url) as process:
        assert await outcome(process) is None
        await server.kill()
        refused = await outcome(process, timeout=60)
        assert refused is not None
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert refused.metadata == {"dependency": "postgres"}
        assert refused.retry_delay is not None
        await becomes(process, health_pb2.HealthCheckResponse.NOT_SERVING)
        assert await health(process, "") == health_pb2.HealthCheckResponse.SERVING
        assert await looked_at(process, "/readyz") == (503, "PostgreSQL does not take commands\n")
        started = time.monotonic()
        assert await outcome(process) is not None
        assert time.monotonic() - started < ACQUIRE_SECONDS, "while the outage is known nobody waits"
        await server.start()
        await becomes(process, health_pb2.HealthCheckResponse.SERVING)
        assert await outcome(process, timeout=60) is None
        assert await execute(server.url, "SELECT count(*) FROM orders") == [(2,)]


async def becomes(process: CommandProcess, status: int) -> None:
    async with asyncio.timeout(120):
        while await health(process, COMMANDS) != status:
            await asyncio.sleep(0.05)


async def refusal(command: str, **settings: str) -> str:
    """What a process that refuses to start says."""
    process = CommandProcess({f"COMMAND_{name.upper()}": value for name, value in settings.items()})
    assert await process.run(command) == 2
    return "\n".join(process.log)


async def test_what_keeps_it_from_starting_is_one_sentence(postgres_database: str, command_database: str) -> None:
    dead = f"postgresql://me:secret@127.0.0.1:{free_port()}/orders"
    for command in ("serve", "migrate"):
        said = await refusal(command, database_url=dead)
        assert "COMMAND_DATABASE_URL" in said
        assert "secret" not in said
        assert len(said.splitlines()) == 1
    said = await refusal("serve", database_url=postgres_database)
    assert json.loads(said)["reason"] == "the database has no tables yet; run `python -m command_service migrate`"
    async with serving(command_database) as process:
        said = await refusal("serve", database_url=command_database, listen=process.address)
        assert "set COMMAND_LISTEN to a free address" in said.splitlines()[-1]
        said = await refusal("serve", database_url=command_database, probes_listen=process.probes)
        assert "set COMMAND_PROBES_LISTEN to a free address" in said.splitlines()[-1]
    assert "COMMAND_DATABASE_URL is not set" in await refusal("check-config")
    said = await refusal("check-config", database_url=dead, pool_size="none", listen="here")
    assert [line.split(":")[0] for line in said.splitlines()] == ["COMMAND_LISTEN", "COMMAND_POOL_SIZE"]


async def test_settings_are_checked_and_tables_made_from_the_command_line(postgres_database: str) -> None:
    for command, said in (
        ("check-config", "the settings of command_service are right\n"),
        ("migrate", f"the database is now (it was empty) at schema revision {required_revision()}\n"),
        ("migrate", f"the database already is at schema revision {required_revision()}\n"),
    ):
        process = CommandProcess({"COMMAND_DATABASE_URL": postgres_database})
        assert (await process.run(command), process.out) == (0, said)


async def test_it_stops_when_asked(command_process: CommandProcess) -> None:
    command_process.signal(signal.SIGTERM)
    async with asyncio.timeout(120):
        assert await command_process.ended() == 0
