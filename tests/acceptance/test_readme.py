"""What the README shows is what happens: its Python example runs, its transaction is the one really sent."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from tests.conformance.command_application import application, call, place_order
from tests.fixtures.system import System

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(name: str) -> str:
    """The fenced block between the README's markers `name:begin` and `name:end`."""
    match = re.search(rf"<!-- {name}:begin -->\n```\w*\n(.*?)```\n<!-- {name}:end -->", README, re.DOTALL)
    assert match, f"the README has no block {name}"
    return match[1]


async def test_the_python_example_runs(system: System, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    code = block("example")
    assert "127.0.0.1:50051" in code
    assert "127.0.0.1:50052" in code
    code = code.replace("127.0.0.1:50051", system.command_address).replace("127.0.0.1:50052", system.query_address)
    script.write_text(code)
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().strip().endswith("s")


async def test_the_transaction_is_the_one_really_sent(command_database: str) -> None:
    sent: list[tuple[str, ...]] = []
    async with application(command_database, lambda statements: sent.append(tuple(statements))) as service:
        await service.place(call(), place_order())
    shown = [" ".join(statement.split()) for statement in block("transaction").split(";") if statement.strip()]
    assert len(sent) == 1
    assert len(sent[0]) == len(shown)
    for actual, expected in zip(sent[0], shown, strict=True):
        pattern = re.escape(expected).replace("…", ".+")
        assert re.fullmatch(pattern, " ".join(actual.split())), f"really sent: {actual}"
