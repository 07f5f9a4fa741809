"""What commands, events and queries cost, in counts that no machine and no load can change; see bench/counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bench.counts.baseline import committed, differences, report
from bench.counts.counting import Counting, Document, counting
from bench.counts.running_stack import ServerUrls
from command_service.storage.transaction import Transaction
from devstack.servers import Missing, PostgresServer
from devstack.servers.maven import VERSION
from query_service.application.projecting.project_events import Delivery, EventProjector, ReachedBarrier
from query_service.application.questions.search_orders import SearchOrders
from relay.events.message import Message, MessageBuilder
from tests.fixtures.stores import give_up
from tests.support.chain import Provided


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(
    nats_url: str, elasticsearch_server: Provided, server_directory: Callable[[str], Path]
) -> AsyncIterator[Counting]:
    """Yields services to count. Their Postgres is new, because messages tell positions in its log."""
    if elasticsearch_server.version != VERSION:
        pytest.skip(f"the counts are those of Elasticsearch {VERSION}; this is {elasticsearch_server.version}")
    postgres = PostgresServer(server_directory("counted-postgres"))
    try:
        await postgres.start()
    except Missing as reason:
        give_up(f"no postgres of our own ({reason})")
    try:
        async with counting(ServerUrls(postgres.url, nats_url, elasticsearch_server.url)) as running:
            yield running
    finally:
        await postgres.stop()


def changes(counted: Document) -> list[str]:
    """What differs from the committed counts, in the parts that were counted."""
    baseline = committed()
    return differences(counted, {part: baseline[part] for part in counted})


async def test_everything_costs_what_is_written_down(services: Counting) -> None:
    counted = await services.document()
    assert set(counted) == set(committed())
    if found := changes(counted):
        pytest.fail(report(found), pytrace=False)


def one_more_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Transaction.commit

    async def twice_as_sure(self: Transaction, *statements: Any) -> None:
        await commit(self, ("SELECT 1", ()), *statements)

    monkeypatch.setattr(Transaction, "commit", twice_as_sure)


def one_more_header(monkeypatch: pytest.MonkeyPatch) -> None:
    make = MessageBuilder.event
    header = b"Tandem-More: 0123456789\r\n"

    def longer(self: MessageBuilder, *arguments: Any) -> Message:
        message = make(self, *arguments)
        return message._replace(headers=message.headers + header, size=message.size + len(header))

    monkeypatch.setattr(MessageBuilder, "event", longer)


def one_more_request_for_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    project = EventProjector.project

    async def looking_first(self: EventProjector, deliveries: Sequence[Delivery]) -> list[ReachedBarrier]:
        await self._store.freshness()
        return await project(self, deliveries)

    monkeypatch.setattr(EventProjector, "project", looking_first)


@pytest.mark.mutant
async def test_one_more_statement_header_and_request_are_noticed(
    services: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, because each raises a count of its own."""
    for mutant in (one_more_statement, one_more_header, one_more_request_for_an_event):
        mutant(monkeypatch)
    found = changes(await services.orders())
    for command in ("PlaceOrder", "RecordPayment", "ShipOrder"):
        for count in (
            f"commands.{command}.statements",
            f"commands.{command}.bytes_sent",
            f"events.{command}.header_bytes",
            f"projection.{command}.requests",
            f"projection.{command}.gets",
        ):
            assert any(one.startswith(f"{count} rose from ") for one in found), found
        assert not any(one.startswith(f"commands.{command}.round_trips ") for one in found), found


@pytest.mark.mutant
async def test_one_more_request_for_a_query_is_noticed(services: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    search = SearchOrders.__call__

    async def looking_first(self: SearchOrders, *arguments: Any, **more: Any) -> Any:
        await self._reader.parked_orders()
        return await search(self, *arguments, **more)

    monkeypatch.setattr(SearchOrders, "__call__", looking_first)
    kinds = ("GetOrder", "SearchOrders by words")
    counted = await services.queries(*kinds)
    found = differences(counted, {"queries": {kind: committed()["queries"][kind] for kind in kinds}})
    assert any(one.startswith("queries.SearchOrders by words.requests rose from ") for one in found), found
    assert not any("GetOrder" in one for one in found), found
