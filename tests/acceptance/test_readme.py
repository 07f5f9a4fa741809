"""What the README shows is what happens: its Python example runs, its transaction is the one really sent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path

from tests.fixtures.system import System
from tests.support.commands.command_application import application, call, place_order

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()
UV = Path(sys.executable).parent / "uv"


def block(name: str) -> str:
    """The fenced block between the README's markers `name:begin` and `name:end`."""
    match = re.search(rf"<!-- {name}:begin -->\n```\w*\n(.*?)```\n<!-- {name}:end -->", README, re.DOTALL)
    assert match, f"the README has no block {name}"
    return match[1]


async def run(*command: str | Path) -> str:
    """Standard output of a command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=PROJECT
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_python_example_runs_with_the_contract_alone(system: System, tmp_path: Path) -> None:
    """A caller installs `tandem-protos` and nothing else of ours."""
    environment = tmp_path / "caller"
    await run(UV, "venv", "-q", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    # From a copy: a build leaves traces that do not belong into the tree.
    contract = tmp_path / "protos"
    shutil.copytree(PROJECT / "protos", contract)
    constraints = PROJECT / "requirements/command.lock"
    await run(UV, "pip", "install", "-q", "--python", python, "-c", constraints, contract)
    installed = await run(UV, "pip", "freeze", "--python", python)
    assert {line.partition("==")[0].partition(" @")[0] for line in installed.split("\n") if line} == {
        "tandem-protos", "grpcio", "protobuf", "googleapis-common-protos", "typing-extensions",
    }  # fmt: skip
    script = tmp_path / "example.py"
    script.write_text(block("example"))
    assert len([line for line in block("example").splitlines() if line.strip()]) <= 33
    out = await run(python, script, system.command_address, system.query_address)
    assert out.strip().endswith("s")


async def test_the_life_of_the_demo_order_runs_as_typed(system: System) -> None:
    """Every line in turn, with what the order's number finds a moment later: searches show it after a refresh."""
    environment = {
        **os.environ,
        "TANDEM_COMMAND_ADDRESS": system.command_address,
        "TANDEM_QUERY_ADDRESS": system.query_address,
        "TANDEM_PATIENCE_SECONDS": "60",
    }
    lines = [line for line in block("demo").splitlines() if "--watch" not in line]
    assert [line.split()[2] for line in lines] == ["place", "pay", "ship", "history"]
    for line in lines:
        code, error = None, ""
        while code is None or "can be found by its number after a moment" in error:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(line), env=environment, cwd=PROJECT, stdout=PIPE, stderr=PIPE
            )
            out, err = await process.communicate()
            code, error = process.returncode, err.decode()
        assert code == 0, f"{line}: {error}"
    assert "shipped" in out.decode()


async def test_the_shell_lines_list_and_call(system: System) -> None:
    listing, calling = block("shell").splitlines()
    methods = await run(*shlex.split(listing.replace("127.0.0.1:50051", system.command_address)))
    assert "tandem.orders.v1.OrderCommandService/PlaceOrder" in methods
    answer = await run(*shlex.split(calling.replace("127.0.0.1:50052", system.query_address)))
    assert "readInfo" in json.loads(answer)


async def test_the_transaction_is_the_one_really_sent(command_database: str) -> None:
    sent: list[tuple[str, ...]] = []
    async with application(command_database, lambda statements: sent.append(tuple(statements))) as service:
        await service.place(replace(call(), deadline=time.monotonic() + 20), place_order())
    shown = [" ".join(statement.split()) for statement in block("transaction").split(";") if statement.strip()]
    assert len(sent) == 1
    assert len(sent[0]) == len(shown)
    for actual, expected in zip(sent[0], shown, strict=True):
        pattern = re.escape(expected).replace("…", ".+")
        assert re.fullmatch(pattern, " ".join(actual.split())), f"really sent: {actual}"
