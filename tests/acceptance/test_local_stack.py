"""`tandem up` as a new user runs it: it proves itself, answers status and orders, and leaves no process behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.servers.ports import free_port
from devstack.stack.topology import DEFAULT_PORTS
from tests.support.waiting import eventually

TANDEM = Path(sys.executable).parent / "tandem"
START_WITHIN_SECONDS = 400


def environment(directory: Path) -> dict[str, str]:
    """Ports and a data directory of this test's own."""
    ports = {setting: str(free_port()) for setting in DEFAULT_PORTS}
    # A loaded machine may take long to give a sign of life.
    return {**os.environ, **ports, "TANDEM_DIR": str(directory), "TANDEM_PATIENCE_SECONDS": "60"}


async def tandem(settings: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one `tandem` command."""
    process = await asyncio.create_subprocess_exec(
        TANDEM, *arguments, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below `pid`."""
    return psutil.Process(pid).children(recursive=True)


@asynccontextmanager
async def tandem_up(settings: dict[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tandem up` in the background, killed when the block leaves it running."""
    process = await asyncio.create_subprocess_exec(
        TANDEM, "up", *arguments, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def lines_until(process: asyncio.subprocess.Process, word: str) -> list[str]:
    """The output up to and with the first line that contains `word`."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(START_WITHIN_SECONDS):
        while not lines or word not in lines[-1]:
            line = (await process.stdout.readline()).decode()
            assert line, f"it ended early:\n{''.join(lines)}"
            lines.append(line)
    return lines


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stop_with", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)], ids=str)
async def test_it_proves_itself_is_used_and_leaves_nothing(tmp_path: Path, stop_with: signal.Signals) -> None:
    settings = environment(tmp_path)
    async with tandem_up(settings) as process:
        output = "".join(await lines_until(process, "Ctrl-C"))
        assert "command " in output
        assert " … published " in output
        assert " … searchable " in output
        for phase in ("download ", "install ", "start ", "proof "):
            assert phase in output
        await _use(settings)
        await _use_from_elsewhere(settings, tmp_path / "elsewhere")
        below = descendants(process.pid)
        assert len(below) >= 9
        process.send_signal(stop_with)
        assert await asyncio.wait_for(process.wait(), 200) == 0
        gone, alive = psutil.wait_procs(below, timeout=120)
        assert alive == []
        assert gone
    code, _, error = await tandem(settings, "status")
    assert code == 3
    assert "make up" in error


async def _caught_up(settings: dict[str, str]) -> dict[str, Any]:
    """The status once the relay has told of an empty backlog; it measures that now and then only."""
    async with asyncio.timeout(200):
        while True:
            code, out, _ = await tandem(settings, "status", "--json")
            seen: dict[str, Any] = json.loads(out)
            # On a loaded machine a look may find one that takes longer to answer than it waits.
            if code == 0 and seen["lag"]["backlog_events"] == 0:
                return seen


async def _watch(settings: dict[str, str]) -> None:
    """The self-check's order has gone all the way: every stage has a figure, and a signal ends the watch."""
    arguments = "status", "--watch", "--json", "--every", "0.2"
    watching = await asyncio.create_subprocess_exec(TANDEM, *arguments, env=settings, stdout=asyncio.subprocess.PIPE)
    assert watching.stdout is not None
    async with asyncio.timeout(200):
        while True:
            seen = json.loads(await watching.stdout.readline())
            model = seen["read_model"]
            if model and len(model["stages"]) == 4 and model["staleness_seconds"] is not None:
                break
    watching.send_signal(signal.SIGINT)
    async with asyncio.timeout(120):
        last = [json.loads(line)["state"] async for line in watching.stdout][-1:] or [seen["state"]]
        assert await watching.wait() in {"up": (0,), "degraded": (1, 3), "down": (3,)}[last[0]]
    assert {lag["stage"] for lag in model["stages"]} == {"published", "received", "applied", "searchable"}
    assert all(lag["p50_seconds"] <= lag["p99_seconds"] for lag in model["stages"])
    assert model["parked_orders"] == 0


async def _use_from_elsewhere(settings: dict[str, str], directory: Path) -> None:
    """As beside a stack of containers: no note of a running stack is there, ports and one address are known."""
    postgres_url = read_record_in(settings["TANDEM_DIR"])["postgres_url"]
    beside = {**settings, "TANDEM_DIR": str(directory), "TANDEM_POSTGRES_URL": postgres_url}
    seen = await _caught_up(beside)
    assert {process["state"] for process in seen["processes"]} == {"up"}
    for arguments in (("outbox", "tail"), ("events", "tail"), ("relay", "status")):
        options = ("--last", "1", "--no-follow") if "tail" in arguments else ()
        code, out, err = await tandem(beside, *arguments, *options, "--json")
        assert (code, bool(out)) == (0, True), err


def read_record_in(directory: str) -> dict[str, str]:
    """The addresses that a running stack left in its directory."""
    topology: dict[str, str] = json.loads((Path(directory) / "stack.json").read_text())["topology"]
    return topology


async def _use(settings: dict[str, str]) -> None:
    seen = await _caught_up(settings)
    assert {process["name"] for process in seen["processes"]} == {
        "postgres", "nats", "elasticsearch", "command", "relay", "query-project", "query-serve",
        "audit-notary", "audit-witness",
    }  # fmt: skip
    async with asyncio.timeout(200):
        while True:
            code, out, _ = await tandem(settings, "status")
            if code == 0:
                break
    assert "relay lag" in out
    await _watch(settings)
    assert await tandem(settings, "projection", "parked", "list", "--json") == (0, '{\n  "parked": []\n}\n', "")

    code, out, err = await tandem(settings, "orders", "place", "--line", "CHAI:Chai:18.00:10:5%:19%", "--json")
    assert code == 0, err
    placed = json.loads(out)
    order_id, token = placed["order"]["order_id"], placed["consistency_token"]
    code, out = 1, "READ_MODEL_BEHIND"
    while code == 1 and "READ_MODEL_BEHIND" in out:  # a loaded one is asked again
        code, out, err = await tandem(settings, "orders", "get", order_id, "--token", token, "--json")
    assert code == 0, out + err
    assert json.loads(out)["order"] == placed["order"]
    code, out, err = await tandem(settings, "orders", "get", order_id)
    assert code == 0, err
    assert "203.49 EUR" in out  # 10 x 18.00 less 5 % is 171.00, and 19 % tax on it 32.49

    code, _, err = await tandem(settings, "orders", "place", "--line", "CHAI")
    assert code == 2
    assert "SKU:NAME:PRICE" in err
    code, _, err = await tandem(settings, "orders", "place", "--line", "CHAI:Chai:-1")
    assert code == 2
    assert "lines[0].unit_price" in err
    code, _, err = await tandem(settings, "orders", "get", "6d0cbd4a-9d0f-4e0b-8d5e-2b1f6f5f9f11")
    assert code == 1
    assert "ORDER_NOT_FOUND" in err
    code, _, err = await tandem(settings, "up")
    assert code == 2
    assert "already runs" in err


async def test_a_stop_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    async with tandem_up(environment(tmp_path)) as process:
        await lines_until(process, "postgres: start")
        await eventually(lambda: bool(descendants(process.pid)), "a first server")
        below = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 200) == 0
        _, alive = psutil.wait_procs(below, timeout=120)
        assert alive == []


async def test_a_busy_port_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    blocker = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", int(settings["TANDEM_COMMAND_PORT"])
    )
    async with blocker:
        code, out, _ = await tandem(settings, "up")
    assert code == 3
    assert "TANDEM_COMMAND_PORT" in out
    assert settings["TANDEM_COMMAND_PORT"] in out


async def test_nothing_running_is_said_in_one_sentence(tmp_path: Path) -> None:
    settings = environment(tmp_path)
    for arguments in (("status",), ("outbox", "tail"), ("events", "tail"), ("relay", "status")):
        code, _, error = await tandem(settings, *arguments)
        assert code == 3, arguments
        assert len(error.strip().splitlines()) == 1
    for _ in range(2):
        assert await tandem(settings, "down") == (0, "nothing runs here\n", "")
    assert await tandem(settings, "down", "--json") == (0, '{\n  "stopped": null\n}\n', "")
    address = f"127.0.0.1:{free_port()}"
    code, _, error = await tandem({**settings, "TANDEM_QUERY_ADDRESS": address}, "orders", "get", "0" * 32)
    assert code == 3
    assert address in error


async def test_wrong_usage_ends_with_two() -> None:
    code, _, _ = await tandem(dict(os.environ), "orders", "place")
    assert code == 2
    code, _, _ = await tandem(dict(os.environ), "no-such-command")
    assert code == 2
