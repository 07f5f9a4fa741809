"""The HTTP client over a server that answers as it likes: every request gets its own answer, or none."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from query_service.storage.physical.http.client import HttpClient
from query_service.storage.physical.http.connection import Connection
from query_service.storage.physical.http.errors import NoAnswer
from query_service.store_url import read_http_url
from tests.support.queries.scripted_server import (
    LONG,
    Asked,
    Script,
    ScriptedServer,
    Writer,
    answer,
    client_of,
    echo,
    scripted,
)
from tests.support.source_mutants import Mutant, noticed

SHORT = 0.2


@asynccontextmanager
async def both(
    script: Script = echo, *, seconds: float = LONG, connections: int = 4
) -> AsyncIterator[tuple[ScriptedServer, HttpClient]]:
    async with scripted(script) as server, client_of(server.url, seconds=seconds, connections=connections) as client:
        yield server, client


async def test_requests_share_a_connection_one_after_the_other() -> None:
    async with both() as (server, client):
        for number in range(5):
            assert (await client.request("GET", f"/{number}")).body == b"/%d" % number
        assert (server.opened, len(server.asked)) == (1, 5)


async def check_pool() -> None:
    async with both(connections=3) as (server, client):
        answers = await asyncio.gather(*(client.request("POST", f"/{number}", b"x") for number in range(40)))
        assert [each.body for each in answers] == [b"/%d" % number for number in range(40)]
        assert server.most_open <= 3
        assert server.opened == 3


async def test_at_most_so_many_connections_and_the_others_wait() -> None:
    await check_pool()


async def test_what_is_sent() -> None:
    async with scripted() as server:
        url = server.url.replace("://", "://us%40er:p%2Fss@") + "/below/"
        async with client_of(url) as client:
            assert (await client.request("GET", "/a?b=c")).body == b"/below/a?b=c"
            await client.request("PUT", "/empty")
            await client.request("POST", "/full", b"{}", "application/json")
    got, empty, full = server.asked
    assert got.headers["host"] == server.url.removeprefix("http://")
    assert base64.b64decode(got.headers["authorization"].removeprefix("Basic ")) == b"us@er:p/ss"
    assert "content-length" not in got.headers
    assert empty.headers["content-length"] == "0"
    assert (full.headers["content-type"], full.body) == ("application/json", b"{}")


@pytest.mark.parametrize("target", ["/a b", "/a\r\nx: y", "/ü", "/a\tb", "/a\0"])
async def test_no_target_can_become_a_header(target: str) -> None:
    async with both() as (server, client):
        with pytest.raises(ValueError, match="percent-encoded"):
            await client.request("GET", target)
        assert server.asked == []


async def test_large_bodies_arrive_whole() -> None:
    async def digest(asked: Asked, writer: Writer) -> None:
        writer.write(answer(hashlib.sha256(asked.body).digest() + bytes(3_000_000)))

    bodies = [bytes([number]) * size for number, size in enumerate((0, 1, 65_535, 65_536, 65_537, 8_000_000))]
    async with both(digest) as (_, client):
        found = await asyncio.gather(*(client.request("POST", "/", body) for body in bodies))
        assert [each.body[:32] for each in found] == [hashlib.sha256(body).digest() for body in bodies]
        assert {len(each.body) for each in found} == {3_000_032}


async def check_cancelled() -> None:
    """The answer to a request whose caller was cancelled is nobody else's."""
    arrived, cancelled = asyncio.Event(), asyncio.Event()

    async def late(asked: Asked, writer: Writer) -> None:
        if asked.target == "/first":
            arrived.set()
            await cancelled.wait()
        writer.write(answer(asked.target.encode()))

    async with both(late, connections=1, seconds=2) as (server, client):
        first = asyncio.create_task(client.request("POST", "/first"))
        await arrived.wait()
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(client.request("POST", "/second"))
        await asyncio.sleep(0)
        cancelled.set()
        assert (await second).body == b"/second"
        assert server.opened == 2


async def test_the_answer_to_a_cancelled_request_is_nobodys() -> None:
    await check_cancelled()


async def test_a_cancelled_wait_for_a_connection_keeps_no_place() -> None:
    release = asyncio.Event()

    async def held(asked: Asked, writer: Writer) -> None:
        if asked.target == "/held":
            await release.wait()
        await echo(asked, writer)

    async with both(held, connections=1) as (_, client):
        holding = asyncio.create_task(client.request("GET", "/held"))
        waiting = [asyncio.create_task(client.request("GET", f"/{number}")) for number in range(5)]
        await asyncio.sleep(0)  # they wait
        for task in waiting[:3]:
            task.cancel()
        release.set()
        assert (await holding).body == b"/held"
        assert [(await task).body for task in waiting[3:]] == [b"/3", b"/4"]


async def test_an_answer_cut_anywhere_is_read() -> None:
    data = answer(b"0123456789")

    async def dripping(_: Asked, writer: Writer) -> None:
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)

    async with both(dripping) as (server, client):
        assert [(await client.request("GET", "/")).body for _ in range(2)] == [b"0123456789"] * 2
        assert server.opened == 1


async def check_surplus(within: float = LONG) -> None:
    """A second answer to one request is not taken for the answer to the next."""

    async def twice(asked: Asked, writer: Writer) -> None:
        writer.write(answer(asked.target.encode()))
        await writer.drain()
        await asyncio.sleep(0.02)  # by now the client has the first one
        writer.write(answer(b"of nobody"))

    async with both(twice) as (server, client):
        for number in range(3):
            assert (await client.request("POST", f"/{number}")).body == b"/%d" % number
            await asyncio.wait_for(server.ended.wait(), within)
            server.ended.clear()
        assert server.opened == 3


async def test_a_second_answer_ends_the_connection() -> None:
    await check_surplus()


async def test_an_answer_before_the_whole_request_ends_the_connection() -> None:
    class Hasty(ScriptedServer):
        async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
            self.opened += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"too large", status=413))
            await writer.drain()
            await reader.read()
            writer.close()

    hasty = Hasty()
    server = await asyncio.start_server(hasty.serve, "127.0.0.1", 0, limit=1024)
    async with client_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        for number in (1, 2):
            found = await client.request("POST", "/", bytes(30_000_000))
            assert (found.status, found.body, hasty.opened) == (413, b"too large", number)
    server.close()


def closing_at(which: str, first_bytes: bytes = b"") -> Script:
    """Ends the connection at this target, on a connection that has answered before or, for `/new`, on any."""

    async def script(asked: Asked, writer: Writer) -> None:
        if asked.target == which and (asked.connection == 1 or which == "/new"):
            writer.write(first_bytes)
            writer.close()
        else:
            await echo(asked, writer)

    return script


async def check_repeated(method: str, *, repeated: bool, first_bytes: bytes = b"") -> None:
    async with both(closing_at("/idle", first_bytes)) as (server, client):
        await client.request("GET", "/")
        if repeated:
            assert (await client.request(method, "/idle", b"x")).body == b"/idle"
        else:
            with pytest.raises(NoAnswer):
                await client.request(method, "/idle", b"x")
        assert [each.target for each in server.asked] == ["/", *["/idle"] * (2 if repeated else 1)]
        assert (await client.request("GET", "/after")).body == b"/after"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_may_arrive_twice_is_sent_again_when_an_idle_connection_had_ended(method: str) -> None:
    await check_repeated(method, repeated=True)


async def test_it_is_sent_only_once_more_whatever_else_is_idle() -> None:
    async def unlucky(asked: Asked, writer: Writer) -> None:
        if asked.target == "/idle" and asked.connection <= 3:
            writer.close()
        else:
            await echo(asked, writer)

    async with both(unlucky) as (server, client):
        await asyncio.gather(*(client.request("GET", "/") for _ in range(3)))
        assert (await client.request("GET", "/idle")).body == b"/idle"
        assert [each.target for each in server.asked[3:]] == ["/idle", "/idle"]


async def test_a_post_is_never_sent_twice() -> None:
    await check_repeated("POST", repeated=False)


async def test_nothing_is_sent_twice_once_an_answer_has_begun() -> None:
    await check_repeated("GET", repeated=False, first_bytes=b"HTTP/1.1 2")


async def test_nothing_is_sent_twice_on_a_new_connection() -> None:
    async with both(closing_at("/new")) as (server, client):
        with pytest.raises(NoAnswer, match="closed the connection"):
            await client.request("GET", "/new")
        assert len(server.asked) == 1


async def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    async def last(asked: Asked, writer: Writer) -> None:
        await echo(asked, writer)
        writer.close()

    async with both(last) as (server, client):
        for number in range(3):
            assert (await client.request("POST", f"/{number}")).body == b"/%d" % number
            await asyncio.wait_for(server.ended.wait(), LONG)
            server.ended.clear()
            while any(connection.usable for connection in client._open):
                await asyncio.sleep(0)
        assert server.opened == 3


async def check_too_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    async with both() as (server, client):
        await asyncio.gather(*(client.request("POST", "/") for _ in range(3)))
        monkeypatch.setattr("query_service.storage.physical.http.client.IDLE_SECONDS", -1.0)
        await client.request("POST", "/")
        assert server.opened == 4
        assert len(client._idle) == 1


async def test_a_connection_that_was_idle_for_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    await check_too_idle(monkeypatch)


def saying(data: bytes = b"", *, close: bool = False) -> Script:
    async def script(_: Asked, writer: Writer) -> None:
        writer.write(data)
        if close:
            writer.close()

    return script


async def endless(_: Asked, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def headers_without_end(_: Asked, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: %b\r\n" % (b"y" * 1000))
        await writer.drain()


WITHOUT_ANSWER: dict[str, tuple[Script, str]] = {
    "garbage": (saying(b"\x15\x03\x01 no HTTP at all\r\n\r\n"), "does not speak HTTP"),
    "closed at once": (saying(close=True), "closed the connection"),
    "closed in the headers": (saying(b"HTTP/1.1 200 OK\r\ncont", close=True), "closed the connection"),
    "closed in the body": (saying(answer(b"0123456789")[:-3], close=True), "closed the connection"),
    "headers without end": (headers_without_end, "bytes of headers"),
    "silence": (saying(), "no answer within 0.2 s"),
    "a slow drip": (endless, "no answer within 0.2 s"),
}


@pytest.mark.parametrize("kind", WITHOUT_ANSWER)
async def test_without_an_answer_the_request_fails_and_the_next_one_succeeds(kind: str) -> None:
    bad, said = WITHOUT_ANSWER[kind]

    async def script(asked: Asked, writer: Writer) -> None:
        await (bad if asked.target == "/bad" else echo)(asked, writer)

    slow = "0.2 s" in said
    async with both(script, seconds=SHORT if slow else LONG, connections=1) as (server, client):
        for _ in range(2):
            with pytest.raises(NoAnswer, match=said):
                await client.request("POST", "/bad")
        client._seconds = LONG
        assert (await client.request("POST", "/good")).body == b"/good"
        assert server.opened == 3


async def test_where_nothing_listens_the_address_is_named_without_the_password() -> None:
    async with client_of("http://user:secret@127.0.0.1:1") as client:
        with pytest.raises(NoAnswer, match=r"cannot connect to 127\.0\.0\.1:1: ") as raised:
            await client.request("GET", "/")
        assert "secret" not in str(raised.value)


async def test_a_closed_client_leaves_nothing_behind() -> None:
    arrived = asyncio.Event()

    async def silent(asked: Asked, writer: Writer) -> None:
        if asked.target == "/silent":
            arrived.set()
            await asyncio.Event().wait()
        await echo(asked, writer)

    async with scripted(silent) as server:
        client = HttpClient(read_http_url(server.url), seconds=LONG, connections=2, headers={})
        await client.request("GET", "/")
        waiting = [asyncio.create_task(client.request("GET", "/silent")) for _ in range(3)]
        await arrived.wait()
        await client.close()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in ended if not isinstance(each, NoAnswer)] == []
        assert client._open == set()
        with pytest.raises(NoAnswer, match="the client is closed"):
            await client.request("GET", "/")


MUTANTS: dict[str, tuple[Mutant, Callable[[], Awaitable[None]]]] = {
    "a connection used again after a cancelled request": (
        Mutant(
            HttpClient._exchanged,
            "connection.abort()",
            "connection._answer, connection.usable, connection.idle_since = None, True, 1e12\n"
            "        self._idle.append(connection)",
        ),
        check_cancelled,
    ),
    "a connection kept after bytes that nobody asked for": (
        Mutant(Connection.data_received, "self.abort()\n        return\n    try", "return\n    try"),
        lambda: check_surplus(SHORT),
    ),
    "a POST sent twice": (
        Mutant(HttpClient.request, "method not in REPEATABLE or ", ""),
        lambda: check_repeated("POST", repeated=False),
    ),
    "a request sent again after the first byte of its answer": (
        Mutant(HttpClient.request, " or not untouched(error)", ""),
        lambda: check_repeated("GET", repeated=False, first_bytes=b"HTTP/1.1 2"),
    ),
    "a pool without its limit": (
        Mutant(HttpClient.__init__, "Semaphore(connections)", "Semaphore(9 * connections)"),
        check_pool,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("which", MUTANTS)
async def test_a_client_without_its_guard_is_noticed(which: str) -> None:
    mutant, check = MUTANTS[which]
    with noticed(mutant, or_raises=(NoAnswer, TimeoutError)):
        await check()


@pytest.mark.mutant
async def test_a_client_that_forgets_how_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(Mutant(HttpClient._taken, "connection.idle_since >= oldest", "True")):
        await check_too_idle(monkeypatch)
