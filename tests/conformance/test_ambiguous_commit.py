"""The answer to COMMIT is lost on its way: the order is there, and the caller must learn so, not get a second one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from command_service.application import execution
from command_service.application.errors import ConnectionBroken
from tests.conformance.command_application import application, call, place_order
from tests.fixtures.waiting import eventually
from tests.fixtures.write_model import execute


class Cutter:
    """A proxy that passes everything on, but cuts a connection instead of passing the answer to its COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.cuts_left = 0
        self.cut = 0
        self.silent = False  # swallow the answer and keep the connection open
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        asked = asyncio.Event()
        pumps = [
            asyncio.create_task(self._requests(reader, server_writer, asked)),
            asyncio.create_task(self._answers(server_reader, writer, asked)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
            self._connections.discard(task)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if self.cuts_left and b"COMMIT" in data:
                self.cuts_left -= 1
                asked.set()
            writer.write(data)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if asked.is_set() and b"COMMIT\x00" in data:
                self.cut += 1
                if self.silent:
                    continue
                return
            writer.write(data)
            await writer.drain()

    async def stop(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


@asynccontextmanager
async def cutter(url: str) -> AsyncIterator[tuple[Cutter, str]]:
    """The proxy before the database at `url`, and the URL through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Cutter(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))
    finally:
        server.close()
        await proxy.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)


async def test_a_lost_answer_is_found_again(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url), application(url) as orders:
        proxy.cuts_left = 1
        result = await orders.place(call(), place_order())
        assert proxy.cut == 1
        # The second attempt met the first one's claim.
        assert result.replayed
        assert await execute(command_database, "SELECT response FROM command_log") == [(result.response,)]
        assert await execute(command_database, "SELECT count(*) FROM outbox") == [(1,)]


async def test_answers_lost_again_and_again_leave_it_to_the_caller(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "ATTEMPTS", 1)
    async with cutter(command_database) as (proxy, url), application(url) as orders:
        asked, command = call(), place_order()
        proxy.cuts_left = 1
        with pytest.raises(ConnectionBroken):
            await orders.place(asked, command)
        assert (await orders.place(asked, command)).replayed
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(1,)]


async def test_an_answer_that_never_comes_breaks_the_connection(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url), application(url, answer_seconds=0.5) as orders:
        proxy.silent, proxy.cuts_left = True, 1
        result = await orders.place(call(), place_order())
        assert (proxy.cut, result.replayed) == (1, True)
        # The pool is whole again: as many commands at once as it has connections.
        await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(4)))
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(5,)]


async def test_a_commit_without_an_answer_does_not_outlive_a_stop(command_database: str) -> None:
    async with cutter(command_database) as (proxy, url):
        async with application(url, answer_seconds=1.0) as orders:
            proxy.silent, proxy.cuts_left = True, 1
            leaving = asyncio.create_task(orders.place(call(), place_order()))
            await eventually(lambda: proxy.cut == 1, "the commit's answer is swallowed")
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            await asyncio.wait_for(orders.execution.drain(), 30)
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(1,)]
