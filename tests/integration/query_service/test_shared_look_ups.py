"""Look-ups by id that share requests: fewer of them, and no caller gets less than alone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.read_store import Applied
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.storage.physical import look_ups
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.look_ups import LookUps
from query_service.storage.physical.reader import DocumentReader
from query_service.storage.physical.store import PhysicalStore
from tests.support.queries.order_events import an_order, published


class GatedConnection(ElasticsearchConnection):
    """A real connection. Answered requests are counted, and while `open` is clear the answers are kept back."""

    def __init__(self, url: str) -> None:
        super().__init__(url, request_timeout=60)
        self.open, self.answered = asyncio.Event(), asyncio.Semaphore(0)
        self.open.set()
        self.documents: list[int] = []

    async def request(self, method: str, path: str, **given: Any) -> tuple[int, Any]:
        answer = await super().request(method, path, **given)
        self.documents.append(len(given["body"]["docs"]))
        self.answered.release()
        await self.open.wait()
        return answer


@pytest_asyncio.fixture(loop_scope="session")
async def store(elasticsearch_url: str, index_prefix: str) -> AsyncIterator[PhysicalStore]:
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    await store.prepare()
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def connection(elasticsearch_url: str) -> AsyncIterator[GatedConnection]:
    connection = GatedConnection(elasticsearch_url)
    yield connection
    connection.open.set()
    await connection.close()


async def applied(store: PhysicalStore, order_id: str, version: int) -> None:
    event = published(an_order(order_id, version))
    assert await store.apply([project(read_event(event.headers, event.body))]) == [Applied()]


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


async def test_callers_who_come_at_the_same_time_share_requests(
    store: PhysicalStore, connection: GatedConnection
) -> None:
    order_ids = ids(60)
    for order_id in order_ids[:5]:
        await applied(store, order_id, 1)
    reader = DocumentReader(connection, store.names)
    found = await asyncio.gather(*(reader.orders([order_id]) for order_id in order_ids))
    assert [order.order_id for [order] in found] == order_ids
    assert [order.version for [order] in found] == [1] * 5 + [0] * 55
    assert connection.documents == [120], "all were there when the first request was sent"


async def look_up_twice(store: PhysicalStore, connection: GatedConnection, requests: int) -> tuple[int, int]:
    """The versions that two look-ups see, the second begun behind a write while the first is under way; so many
    requests go out before the first is answered."""
    [order_id] = ids(1)
    await applied(store, order_id, 1)
    reader = DocumentReader(connection, store.names)
    connection.open.clear()
    earlier = asyncio.create_task(reader.orders([order_id]))
    async with asyncio.timeout(120):
        await connection.answered.acquire()  # Elasticsearch has answered; nobody has heard of it
    await applied(store, order_id, 2)
    later = asyncio.create_task(reader.orders([order_id]))
    async with asyncio.timeout(120):
        for _ in range(requests - 1):
            await connection.answered.acquire()  # what is slow does not hold it back for long
    connection.open.set()
    [[first], [second]] = await asyncio.gather(earlier, later)
    return first.version, second.version


async def test_a_look_up_sees_what_was_written_while_an_earlier_one_was_under_way(
    store: PhysicalStore, connection: GatedConnection
) -> None:
    assert await look_up_twice(store, connection, requests=2) == (1, 2)


class Joining(LookUps):
    """Mutant: who wants what is being asked for already waits for that answer."""

    def __init__(self, connection: ElasticsearchConnection) -> None:
        super().__init__(connection)
        self._asked: dict[str, asyncio.Task[list[dict[str, Any]]]] = {}

    async def documents(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        key = str(wanted)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(super().documents(wanted))
        return await self._asked[key]


@pytest.mark.mutant
async def test_mutant_that_joins_a_request_under_way_misses_a_write(
    store: PhysicalStore, connection: GatedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query_service.storage.physical.reader.LookUps", Joining)
    assert await look_up_twice(store, connection, requests=1) == (1, 1)


async def test_who_leaves_disturbs_nobody(store: PhysicalStore, connection: GatedConnection) -> None:
    order_ids = ids(20)
    await applied(store, order_ids[1], 1)
    reader = DocumentReader(connection, store.names)
    connection.open.clear()
    tasks = [asyncio.create_task(reader.orders([order_id])) for order_id in order_ids]
    async with asyncio.timeout(120):
        await connection.answered.acquire()
    for task in tasks[::2]:
        task.cancel()
    connection.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
    assert [order.order_id for orders in found[1::2] if isinstance(orders, list) for order in orders] == order_ids[1::2]


async def test_nothing_is_asked_for_those_who_left_before_it_was_sent(
    store: PhysicalStore, connection: GatedConnection
) -> None:
    reader = DocumentReader(connection, store.names)
    tasks = [asyncio.create_task(reader.orders(ids(1))) for _ in range(3)]
    await asyncio.sleep(0)  # they wait; their request begins after that
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [order.version for order in await reader.orders(ids(1))] == [0]
    assert connection.documents == [2]


async def test_a_document_that_cannot_be_looked_up_is_the_failure_of_who_wants_it(
    store: PhysicalStore, connection: GatedConnection
) -> None:
    [order_id] = ids(1)
    await applied(store, order_id, 1)
    shared = LookUps(connection)
    good, bad = await asyncio.gather(
        shared.documents([{"_index": store.names.orders, "_id": order_id}]),
        shared.documents([{"_index": f"{store.names.orders}-nowhere", "_id": order_id}]),
        return_exceptions=True,
    )
    assert isinstance(bad, ReadStoreNotReady)
    assert isinstance(good, list)
    assert good[0]["_source"]["version"] == 1


async def test_a_failure_reaches_all_who_shared_the_request(connection: GatedConnection) -> None:
    shared = LookUps(connection)
    await connection.close()  # nothing can be sent any more
    found = await asyncio.gather(*(shared.documents([{"_id": one}]) for one in ids(5)), return_exceptions=True)
    assert all(isinstance(one, Exception) for one in found)
    assert not shared._waiting


async def test_large_look_ups_go_alone(
    store: PhysicalStore, connection: GatedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "MOST_DOCUMENTS", 10)
    reader = DocumentReader(connection, store.names)
    found = await asyncio.gather(*(reader.orders(ids(count)) for count in (1, 50, 1, 1, 1, 1, 1)))
    assert [len(orders) for orders in found] == [1, 50, 1, 1, 1, 1, 1]
    assert max(connection.documents) == 100
    assert sorted(connection.documents)[:-1] == [2, 10], "the first came alone, the others wait for it and go together"
