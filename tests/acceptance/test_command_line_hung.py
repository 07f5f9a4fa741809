"""Somebody takes the connection and never answers: every command says so in one sentence and ends with 3.

To a command a process that hangs is a port that accepts and stays silent, so such a port stands for each of them here.
What a hanging store does to a service that is there is tried in `tests/robustness/test_command_line.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from devstack.cli.running import run
from devstack.stack.known_stack import ADDRESS_VARIABLES
from tests.support.northwind import write_company

TANDEM = Path(sys.executable).parent / "tandem"
ORDER = "b11dd591-84f8-4c1e-9d3a-0f6f5a1c2e77"
#: Command → what its sentence names.
COMMANDS = {
    ("orders", "place", "--line", "A:Tea:1"): "command service",
    ("orders", "pay", ORDER, "5"): "command service",
    ("orders", "hold", ORDER): "command service",
    ("orders", "hold", "J1NXP-11JMY-JT2TW"): "query service",
    ("orders", "get", ORDER): "query service",
    ("orders", "get", ORDER, ORDER): "query service",
    ("orders", "search", "konig"): "query service",
    ("orders", "history", ORDER): "query service",
    ("orders", "summarize"): "query service",
    ("orders", "customer", "ALFKI"): "query service",
    ("sample", "--orders", "3"): "command service",
    ("import", "northwind", "COMPANY"): "command service",
    ("outbox", "tail"): "Postgres",
    ("outbox", "tail", "--no-follow"): "Postgres",
    ("events", "tail"): "NATS",
    ("events", "tail", "--no-follow"): "NATS",
    ("relay", "status"): "does not answer",
    ("relay", "parked", "list"): "database",
    ("relay", "parked", "retry", "A"): "database",
    ("relay", "replay", "--from", "1", "--to", "R"): "database",
    ("audit", "note"): "Postgres",
    ("audit", "prove", ORDER): "Postgres",
    ("audit", "verify", ORDER): "exports of the command service",
    ("status",): "down",
}


@contextmanager
def silent_port() -> Iterator[str]:
    """`HOST:PORT` of what takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        host, port = listener.getsockname()
        yield f"{host}:{port}"


def environment(address: str, directory: Path) -> dict[str, str]:
    """A stack of which every part is at the silent port."""
    schemes = {"postgres_url": "postgresql://tandem@", "nats_url": "nats://"}
    named = {
        variable: schemes.get(field, "http://" if field.endswith("url") else "") + address
        for variable, (field, _) in ADDRESS_VARIABLES.items()
    }
    return {**named, "TANDEM_DIR": str(directory), "TANDEM_PATIENCE_SECONDS": "0.3"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("company")
    write_company(directory, orders=3)
    return directory


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything a command may ask is at a silent port."""
    with silent_port() as address, patch.dict(os.environ):
        for name, value in environment(address, tmp_path).items():
            monkeypatch.setenv(name, value)
        yield


def sentence_of(err: str) -> str:
    """What is said besides how far it came, and where it looked."""
    [sentence] = [line for line in err.splitlines() if not line.startswith(("database 127", "3 orders:"))]
    return sentence


@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_whose_other_side_hangs_ends_with_a_sentence(
    arguments: tuple[str, ...], company: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(company) if word == "COMPANY" else word for word in arguments]) == 3
    captured = capsys.readouterr()
    assert COMMANDS[arguments] in captured.out + captured.err
    if arguments[-1] != "status":  # which shows everything else too
        assert sentence_of(captured.err)


@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("arguments", [words for words in list(COMMANDS)[::3] if words[-1] != "status"], ids=" ".join)
def test_a_program_gets_it_as_a_document(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 3
    assert COMMANDS[arguments] in document["error"]


@pytest.mark.mutant
def test_a_command_without_patience_would_be_noticed(
    hung: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for a sign of life: only the deadline of the call ends it, and the sentence is another one."""

    async def unasked() -> None: ...

    monkeypatch.setattr("devstack.cli.patience.sign_of", lambda *_: unasked)
    monkeypatch.setattr("devstack.cli.orders.reading.CALL_SECONDS", 2.0)
    assert run(["orders", "get", ORDER]) == 3
    assert "in time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("projection", "parked", "list"), "lasticsearch"),
        pytest.param(("projection", "parked", "retry", ORDER), "lasticsearch", marks=pytest.mark.long),
        # Its own word, and not that of a connection that was waited for longer.
        (("relay", "adopt"), "has not answered for 0.17 s"),
    ],
    ids=" ".join,
)
async def test_commands_that_set_up_logging_too(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    """In a process of their own."""
    with silent_port() as address:
        process = await asyncio.create_subprocess_exec(
            TANDEM,
            *arguments,
            env={**os.environ, **environment(address, tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 3
    assert sentence in sentence_of(err.decode())
