"""Imports by the client library that outlive connections and the command service itself."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator

import pytest
from tandem.orders.import_state import Sending
from tandem.orders.retry import RetryPolicy
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

from devstack.servers.ports import HOST, free_port
from tests.fixtures.command_process import CommandProcess
from tests.fixtures.write_model import execute
from tests.support.commands.breaking_imports import Import, Outcome, run, run_async
from tests.support.commands.imports import import_request
from tests.support.commands.journal import journal_faults

BOTH = pytest.mark.parametrize("how", [run, run_async])
PATIENT = RetryPolicy(give_up_after=240.0, try_timeout=60.0, longest_pause=0.2)


class Streams:
    """Counts the streams that an import opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        opening = Sending.__init__

        def counted(sending: Sending, *arguments: object) -> None:
            self.opened += 1
            opening(sending, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Sending, "__init__", counted)


def until(enough: Callable[[], bool], sent: list[ImportOrdersRequest]) -> Iterator[ImportOrdersRequest]:
    """Orders to import, as many as it takes."""
    source = random.Random(44)
    for _ in itertools.takewhile(lambda _: not enough(), itertools.count()):
        sent.append(import_request(source))
        yield sent[-1]


def process_over(database_url: str, **settings: str) -> CommandProcess:
    """On a port that it keeps when it is started again."""
    named = {f"COMMAND_{name.upper()}": value for name, value in settings.items()}
    return CommandProcess({"COMMAND_DATABASE_URL": database_url, "COMMAND_LISTEN": f"{HOST}:{free_port()}", **named})


async def check(outcome: Outcome, sent: list[ImportOrdersRequest], database_url: str) -> None:
    assert outcome.error is None
    assert outcome.answered == [request.request_id for request in sent]
    assert [item.request for item in outcome.items] == sent
    assert [item.result.status for item in outcome.items if item.result.status] == []
    assert await execute(database_url, "SELECT count(*) FROM orders") == [(len(sent),)]
    assert await execute(database_url, "SELECT count(*) FROM outbox") == [(len(sent),)]
    assert await journal_faults(database_url) == []


@BOTH
async def test_an_import_outlives_its_connections_and_the_service(
    command_database: str, how: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = process_over(command_database, max_connection_age_seconds="0.5", shutdown_grace_seconds="0.2")
    streams, sent, killed = Streams(monkeypatch), list[ImportOrdersRequest](), asyncio.Event()
    await process.serve()
    try:
        requests = until(lambda: killed.is_set() and streams.opened >= 5, sent)
        importing = asyncio.create_task(asyncio.to_thread(how, process.address, requests, PATIENT))
        while streams.opened < 3:
            assert not importing.done(), importing.result()
            await asyncio.sleep(0.02)
        await process.kill()
        await process.serve()
        killed.set()
        await check(await importing, sent, command_database)
    finally:
        await process.kill()


@pytest.mark.mutant
async def test_mutant_that_does_not_send_again_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams, sent = Streams(monkeypatch), list[ImportOrdersRequest]()
    opening = Sending.__init__

    def after_all(sending: Sending, unanswered: object) -> None:
        opening(sending, unanswered)  # type: ignore[arg-type]
        sending.sent = len(sending._unanswered.items) if streams.opened > 1 else 0

    monkeypatch.setattr(Sending, "__init__", after_all)
    process = process_over(command_database, max_connection_age_seconds="0.5", shutdown_grace_seconds="0.2")
    await process.serve()
    try:
        requests = until(lambda: streams.opened >= 3, sent)
        impatient = RetryPolicy(give_up_after=2.0, try_timeout=2.0)
        outcome = await asyncio.to_thread(run, process.address, requests, impatient)
        with pytest.raises(AssertionError):
            await check(outcome, sent, command_database)
    finally:
        await process.kill()
