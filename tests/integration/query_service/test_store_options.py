"""Whole test runs, each a process of its own: where servers come from, what is skipped, what fails, what is printed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from devstack.servers.place import PROJECT

TEST = "tests/integration/devstack/test_servers_smoke.py::test_nats_keeps_a_stream_on_file_and_refuses_a_wrong_sequence"
NOWHERE = "nats://127.0.0.1:1"


async def run(*options: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of a run of the one NATS test, without any TANDEM_TEST_* setting but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TANDEM_TEST_", "DOCKER_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TEST, *options,
        cwd=PROJECT, env=inherited | {"DOCKER_HOST": "tcp://127.0.0.1:1"} | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 240)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_given_url_is_used_and_told(nats_url: str) -> None:
    status, output = await run(TANDEM_TEST_NATS_URL=nats_url)
    assert status == 0
    assert "stores: url → containers → local" in output
    assert f"from url ({nats_url})" in output
    assert "1 passed" in output


async def test_without_url_and_engine_the_local_binaries_are_used() -> None:
    status, output = await run()
    assert status == 0, output
    assert "store nats 2." in output
    assert "from local (nats://127.0.0.1:" in output


async def test_a_forced_link_that_cannot_provide_skips_with_its_reason() -> None:
    status, output = await run("--stores=url")
    assert (status, "1 skipped" in output) == (0, True)
    assert "no nats to test against (url: TANDEM_TEST_NATS_URL is not set)" in output
    status, output = await run("--stores=containers")
    assert (status, "1 skipped" in output) == (0, True)
    assert "(containers: no Docker engine answers (" in output


async def test_a_store_that_is_required_fails_the_run() -> None:
    status, output = await run("--stores=containers", TANDEM_TEST_REQUIRE="1")
    assert (status, "1 error" in output, "1 skipped" in output) == (1, True, False)
    assert "TANDEM_TEST_REQUIRE is set, so this is a failure" in output


async def test_a_given_url_that_does_not_answer_fails_the_run() -> None:
    status, output = await run(TANDEM_TEST_NATS_URL=NOWHERE)
    assert (status, "1 skipped" in output) == (1, False)
    assert f"TANDEM_TEST_NATS_URL names {NOWHERE}, which does not answer as a nats" in output


@pytest.fixture
async def engine_without_images() -> AsyncIterator[str]:
    """Something that answers as a Docker engine does, and has no image: `DOCKER_HOST` of it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readline()).decode()
        length = 0
        while (line := await reader.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        await reader.readexactly(length)
        path = request.split()[1]
        if path.endswith("/_ping"):
            status, body = "200 OK", b"OK"
        elif path.endswith("/version"):
            status, body = "200 OK", b'{"ApiVersion": "1.45", "MinAPIVersion": "1.24", "Version": "27.0"}'
        else:
            status, body = "404 Not Found", b'{"message": "no such image here"}'
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_engine_without_the_image_leaves_it_to_the_local_binaries(engine_without_images: str) -> None:
    status, output = await run(DOCKER_HOST=engine_without_images)
    assert status == 0, output
    assert "from local (nats://127.0.0.1:" in output
    status, output = await run("--stores=containers", DOCKER_HOST=engine_without_images)
    assert (status, "1 skipped" in output) == (0, True)
    assert "the container does not start (" in output
    assert "no such image here" in output
