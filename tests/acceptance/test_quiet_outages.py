"""A store or broker that is away is told of once, however many calls fail and however often the clients try again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract

from tests.fixtures.command_process import caller, serving
from tests.fixtures.relay_world import world
from tests.support.commands.orders import place_order_request
from tests.support.queries.order_events import an_order, published
from tests.support.queries.query_client import Client
from tests.support.queries.read_side import ReadSide, eventually, shared_read_side
from tests.support.relay.relay_process import running
from tests.support.relay.world import World

__all__ = ["shared_read_side", "world"]
#: All at once, and no more than there are connections to the store: when it is silent, all are over together.
READS = 30
REFUSED = "calls refused for want of the read store"
#: Begins, goes on, ends, for the store and for calls, and what processes say of a connection; far from one per read.
MOST_LINES = 8
THROUGH, GONE, SILENT, BROKEN = "through", "gone", "silent", "broken"


class Gate:
    """A proxy before a server, which can be closed: then callers find it gone, silent or broken."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._state = THROUGH
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self.url = ""

    async def was_found(self) -> bool:
        """Whether somebody has connected, several times if in vain, since it became what it is."""
        return self._accepted >= (1 if self._state == THROUGH else 5)

    def becomes(self, state: str) -> None:
        """From now on; connections that are open end."""
        self._state, self._accepted = state, 0
        for task in self._connections:
            task.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gate]:
        """Listens within the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        user, at, _ = self._target.netloc.rpartition("@")
        self.url = self._target._replace(netloc=f"{user}{at}127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
        try:
            yield self
        finally:
            server.close()
            self.becomes(GONE)
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._accepted += 1
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state == SILENT:
            await reader.read(-1)
        elif self._state == BROKEN:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        elif self._state == THROUGH:
            inner_reader, inner_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            both = [
                asyncio.create_task(_pass_on(reader, inner_writer)),
                asyncio.create_task(_pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in both:
                    one.cancel()
                inner_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()


class Reading:
    """What a process has logged since it was looked at last."""

    def __init__(self, log: Callable[[], str]) -> None:
        self._log, self._read = log, 0

    async def until(self, *events: str) -> list[dict[str, Any]]:
        """Waits until all these events are there, and gives the new lines."""

        async def there() -> bool:
            return set(events) <= {line["event"] for line in self._new()}

        await eventually(there, f"{events} in the log")
        lines = self._new()
        self._read += len(lines)
        return lines

    def _new(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log().splitlines()[self._read :] if line.endswith("}")]


def check(lines: list[dict[str, Any]], *once: str) -> None:
    """These events once each, and little else."""
    events = Counter(line["event"] for line in lines)
    assert {event: events[event] for event in once} == dict.fromkeys(once, 1), lines
    assert len(lines) <= MOST_LINES, lines


async def test_a_store_that_is_away_is_told_of_once_by_who_serves(
    shared_read_side: ReadSide, elasticsearch_url: str, unused_tcp_port: int
) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    async with (
        Gate(elasticsearch_url).running() as gate,
        shared_read_side.process(
            "serve", listen=address, elasticsearch_url=gate.url, read_timeout_seconds=5
        ) as process,
        grpc.aio.insecure_channel(address, options=channel_options()) as channel,
    ):
        client, log = Client(channel), Reading(lambda: process.log)

        async def answered() -> str:
            try:
                await client.stub.SearchOrders(contract.SearchOrdersRequest(), timeout=60, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error).reason
            return "OK"

        async def answers() -> bool:
            return await answered() == "OK"

        await eventually(answers, "answers")
        await log.until("listening")
        for state in (GONE, SILENT, BROKEN):
            gate.becomes(state)
            told = set(await asyncio.gather(*(answered() for _ in range(READS))))
            assert told == {"DEPENDENCY_UNAVAILABLE"}, state
            gone = await log.until("read store unavailable", REFUSED)
            gate.becomes(THROUGH)
            await eventually(answers, "answers again")
            back = await log.until("read store available", "calls answered again")
            check([*gone, *back], "read store unavailable", REFUSED, "read store available", "calls answered again")
            assert next(line for line in back if line["event"] == "calls answered again")["failures"] >= READS


async def test_a_store_that_is_away_is_told_of_once_by_who_projects(
    shared_read_side: ReadSide, elasticsearch_url: str
) -> None:
    async with (
        Gate(elasticsearch_url).running() as gate,
        shared_read_side.process("project", elasticsearch_url=gate.url) as process,
    ):
        log = Reading(lambda: process.log)
        await log.until("projecting")
        for state in (GONE, BROKEN):
            gate.becomes(state)
            events = [published(an_order(str(uuid.uuid4()))) for _ in range(50)]
            await shared_read_side.publish(*events)
            gone = await log.until("paused")
            # While it is paused it is asked for what it cannot do.
            subject = f"tandem.{shared_read_side.subject}.projector.g1.refresh"
            for _ in range(30):
                with contextlib.suppress(Exception):
                    await shared_read_side.client.request(subject, b"", timeout=0.05)
            gate.becomes(THROUGH)
            back = await log.until("resumed")
            check([*gone, *back], "paused", "resumed")
            await eventually(lambda sent=events: shared_read_side.shows(sent), "all events applied")  # type: ignore[misc]


@pytest.mark.parametrize("command", ["serve", "project"])
async def test_a_broker_that_is_away_is_told_of_once(
    shared_read_side: ReadSide, nats_url: str, unused_tcp_port_factory: Callable[[], int], command: str
) -> None:
    address = f"127.0.0.1:{unused_tcp_port_factory()}"
    async with (
        Gate(nats_url).running() as gate,
        shared_read_side.process(command, listen=address, nats_url=gate.url) as process,
    ):
        log = Reading(lambda: process.log)
        await eventually(gate.was_found, "a connection")
        gate.becomes(GONE)
        gone = await log.until("nats unavailable")
        await eventually(gate.was_found, "further attempts to connect")
        gate.becomes(THROUGH)
        back = await log.until("nats available")
        check([*gone, *back], "nats unavailable", "nats available")


async def test_a_database_that_is_away_is_told_of_once(command_database: str) -> None:
    async with Gate(command_database).running() as gate, serving(gate.url) as process, caller(process) as commands:
        log, chance = Reading(lambda: "\n".join(process.log)), random.Random(17)

        async def placed() -> str:
            try:
                await commands.PlaceOrder(place_order_request(chance), timeout=60)
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error).reason
            return "OK"

        assert set(await asyncio.gather(*(placed() for _ in range(READS)))) == {"OK"}
        await log.until("listening")
        for state in (GONE, SILENT):
            gate.becomes(state)
            assert "OK" not in await asyncio.gather(*(placed() for _ in range(READS))), state
            gone = await log.until("database unavailable")
            await eventually(gate.was_found, "further attempts to connect")
            gate.becomes(THROUGH)
            back = await log.until("database available")
            check([*gone, *back], "database unavailable", "database available")
            assert all(line["reason"] for line in gone)


async def test_each_outage_of_its_broker_is_told_by_the_relay(world: World) -> None:
    async with Gate(world.nats_url).running() as gate, running(world.relay(nats_url=gate.url)) as relay:
        log = Reading(lambda: relay.text)
        await log.until("publishing")
        for _ in range(2):
            gate.becomes(GONE)
            gone = await log.until("relay stopped publishing")
            await eventually(gate.was_found, "further attempts to connect")
            gate.becomes(THROUGH)
            back = await log.until("publishing")
            check([*gone, *back], "relay stopped publishing", "relay can publish again", "publishing")
