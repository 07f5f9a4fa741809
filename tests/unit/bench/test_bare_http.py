"""The bare connection reads an answer whole, however it arrives and in either of the two ways to tell its length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.harness.bare_http import BareHttp

CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'
SIZED = b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}'


@asynccontextmanager
async def server(answer: bytes, step: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers every request with `answer`, `step` bytes at a time. Yields its port and what it was sent."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
            requests.append(head + await reader.readexactly(int(length or 0)))
            for at in range(0, len(answer), step):
                writer.write(answer[at : at + step])
                await asyncio.sleep(0)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    serving = await asyncio.start_server(quietly, "127.0.0.1", 0)
    async with serving:
        yield serving.sockets[0].getsockname()[1], requests


@pytest.mark.parametrize("answer", [CHUNKED, SIZED])
@pytest.mark.parametrize("step", [1, 7, 1_000])
async def test_reads_the_whole_answer(answer: bytes, step: int) -> None:
    async with server(answer, step) as (port, requests), BareHttp("127.0.0.1", port) as http:
        assert [await http.request("POST", "/x", b"{}") for _ in range(3)] == [b'{"a": 1}'] * 3
        assert all(
            request.startswith(b"POST /x HTTP/1.1\r\n") and request.endswith(b"\r\n\r\n{}") for request in requests
        )


async def test_a_refusal_is_an_error() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    async with server(answer, 1_000) as (port, _), BareHttp("127.0.0.1", port) as http:
        with pytest.raises(RuntimeError, match="GET /x: 404 no"):
            await http.request("GET", "/x")
