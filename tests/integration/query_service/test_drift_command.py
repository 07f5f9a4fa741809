"""`tandem drift check` and `python -m query_service drift check` without what they need, and with wrong arguments."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.cli.running import run
from devstack.servers.ports import HOST, free_port
from query_service.__main__ import main
from query_service.storage.physical.store import PhysicalStore


def service(*arguments: str) -> int:
    """Runs the query service's command in this process; returns its exit code."""
    try:
        return main(["drift", "check", *arguments])
    except SystemExit as usage:
        return int(usage.code or 0)


def tandem(*arguments: str) -> int:
    """Runs the operator's command in this process; returns its exit code."""
    return run(["drift", "check", *arguments])


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """Sets an environment in which store and export service are away; returns their address."""
    for name in [name for name in os.environ if name.startswith("QUERY_")]:
        monkeypatch.delenv(name)
    address = f"{HOST}:{free_port()}"
    monkeypatch.setenv("QUERY_READ_STORE", "physical")
    monkeypatch.setenv("QUERY_NATS_URL", f"nats://{address}")
    monkeypatch.setenv("QUERY_ELASTICSEARCH_URL", f"http://{address}")
    monkeypatch.setenv("QUERY_EXPORT_ADDRESS", address)
    return address


@pytest_asyncio.fixture(loop_scope="session")
async def store(elasticsearch_url: str, index_prefix: str) -> AsyncIterator[PhysicalStore]:
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()


def answers_with(code: int, named: str, captured: pytest.CaptureFixture[str]) -> None:
    """Checks that both commands end with `code` and print JSON whose error names what is wrong."""
    assert service() == code
    assert named in json.loads(captured.readouterr().out)["error"]
    assert tandem("--json") == code
    assert named in json.dumps(json.loads(captured.readouterr().out))
    assert tandem() == code
    said = captured.readouterr()
    assert (said.out, named in said.err) == ("", True), said


async def test_a_store_or_an_export_service_that_is_away_is_named(
    store: PhysicalStore,
    nowhere: str,
    elasticsearch_url: str,
    index_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await asyncio.to_thread(answers_with, 3, "elasticsearch: ", capsys)
    monkeypatch.setenv("QUERY_ELASTICSEARCH_URL", elasticsearch_url)
    await asyncio.to_thread(answers_with, 3, "the read store is not set up", capsys)
    monkeypatch.setenv("QUERY_INDEX_PREFIX", index_prefix)
    await asyncio.to_thread(answers_with, 3, "order-export: UNAVAILABLE", capsys)
    assert "order-export: UNAVAILABLE" in (await store.drift_record()).record.problem


@pytest.mark.parametrize(
    ("arguments", "setting", "named"),
    [
        (["--sample", "-1"], "", "-1"),
        (["--most", "x"], "", "x"),
        (["--everything"], "", "--everything"),
        ([], "QUERY_EXPORT_ADDRESS=", "QUERY_EXPORT_ADDRESS is not set"),
        ([], "QUERY_READ_STORE=memory", "QUERY_READ_STORE=memory"),
    ],
)
def test_wrong_arguments_and_settings_are_refused_by_name(
    arguments: list[str],
    setting: str,
    named: str,
    nowhere: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if setting:
        monkeypatch.setenv(*setting.split("=", 1))
    for command in (service, tandem):
        assert command(*arguments) == 2
        assert named in capsys.readouterr().err
