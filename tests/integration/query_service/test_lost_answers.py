"""A guarded write gets no answer from a proxy: the store does not take its own success for a conflict."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from query_service.application.ports.checked_store import DriftRecord
from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.generations import Phase, Rebuild
from query_service.application.rebuilding.leases import parts_until
from query_service.storage.physical.connection import _JSON, ElasticsearchConnection
from query_service.storage.physical.http.client import HttpClient
from query_service.storage.physical.parking import ParkingLot
from query_service.storage.physical.state_document import StateDocument
from query_service.storage.physical.store import PhysicalStore
from query_service.store_url import read_http_url
from tests.conformance.read_store_suite import a_parked_event
from tests.support.queries.scripted_server import Asked, Writer, answer, scripted
from tests.support.source_mutants import Mutant, noticed

Step = Callable[[], Awaitable[None]]


@dataclass
class Proxy:
    """Passes requests on. The next guarded write gets no answer, and arrives or does not (`loses`)."""

    elasticsearch: HttpClient
    loses: bool = False
    armed: bool = False
    #: Happens when the guarded write has arrived, before its connection ends.
    then: Step | None = None
    guarded: list[str] = field(default_factory=list)

    async def __call__(self, asked: Asked, writer: Writer) -> None:
        unanswered = asked.method == "PUT" and ("if_seq_no" in asked.target or "op_type" in asked.target)
        if unanswered:
            self.guarded.append(asked.target)
        unanswered = unanswered and self.armed
        if unanswered and self.loses:
            self.armed = False
            writer.close()
            return
        # As if the server had stopped between the write and its refresh.
        target = asked.target.replace("refresh=true", "refresh=false") if unanswered else asked.target
        found = await self.elasticsearch.request(
            asked.method, target, asked.body, asked.headers.get("content-type", ""), once=True
        )
        if not unanswered:
            writer.write(answer(found.body, status=found.status))
            return
        assert found.status in (200, 201), found
        self.armed = False
        if self.then is not None:
            await self.then()
        writer.close()


@dataclass
class World:
    """A store behind the proxy, and the same store reached directly."""

    proxy: Proxy
    store: PhysicalStore
    direct: PhysicalStore


@asynccontextmanager
async def world(elasticsearch_url: str, prefix: str) -> AsyncIterator[World]:
    direct = PhysicalStore(elasticsearch_url, index_prefix=prefix, request_timeout=60)
    client = HttpClient(read_http_url(elasticsearch_url), seconds=60, connections=4, headers={"accept": _JSON})
    proxy = Proxy(client)
    async with scripted(proxy) as server:
        store = PhysicalStore(server.url, index_prefix=prefix, request_timeout=60)
        try:
            await direct.prepare()
            yield World(proxy, store, direct)
        finally:
            for each in (store, direct, client):
                await each.close()


def a_rebuild(phase: Phase = Phase.FILLING) -> Rebuild:
    return Rebuild(str(uuid.uuid4()), "g1", "g2", phase, 1, parts=parts_until(["5", "9"]), filled_at=5)


async def check_own_success(at: World) -> None:
    """Both documents, created and replaced: the store has done it, asked for it once, and knows it."""
    for record in (DriftRecord("this one", 7, found={"DOCUMENT_OLDER": 2}), DriftRecord("this one", 9)):
        stored = await at.store.drift_record()
        at.proxy.armed = True
        assert await at.store.save_drift_record(record, stored)
        assert not at.proxy.armed
        assert (await at.direct.drift_record()).record == record
    for rebuild in (first := a_rebuild(), replace(first, phase=Phase.CATCHING_UP)):
        before = await at.store.generations.rebuild()
        at.proxy.armed = True
        assert await at.store.generations.save(rebuild, before)
        assert (await at.direct.generations.rebuild()).rebuild == rebuild
    assert len(at.proxy.guarded) == 4


async def check_anothers_success(at: World) -> None:
    """Another process replaces the document before it is read again."""

    async def another() -> None:
        assert await at.direct.save_drift_record(DriftRecord("another"), await at.direct.drift_record())

    stored = await at.store.drift_record()
    at.proxy.armed, at.proxy.then = True, another
    assert not await at.store.save_drift_record(DriftRecord("this one"), stored)


async def check_a_lost_request(at: World) -> None:
    stored = await at.store.drift_record()
    at.proxy.armed = at.proxy.loses = True
    with pytest.raises(DependencyDown, match="closed the connection"):
        await at.store.save_drift_record(DriftRecord("this one"), stored)
    assert await at.store.save_drift_record(DriftRecord("this one"), stored)
    assert len(at.proxy.guarded) == 2


async def check_parking(at: World) -> None:
    """The event comes again, and is parked already. Then a search finds it, which its acknowledgement waits for."""
    event = a_parked_event(str(uuid.uuid4()), 2)
    at.proxy.armed = True
    with pytest.raises(DependencyDown):
        await at.store.park(event)
    await at.store.park(event)
    assert await at.direct.parked_orders() == {event.order_id: (2,)}
    assert len(at.proxy.guarded) == 1


CHECKS = [check_own_success, check_anothers_success, check_a_lost_request, check_parking]


@pytest.mark.parametrize("check", CHECKS)
async def test_a_guarded_write_without_an_answer(
    elasticsearch_url: str, index_prefix: str, check: Callable[[World], Awaitable[None]]
) -> None:
    async with world(elasticsearch_url, index_prefix) as at:
        await check(at)


REPLACE = StateDocument.replace
MUTANTS = {
    "it is sent twice": (
        Mutant(HttpClient.request, "once or method not in REPEATABLE", "method not in REPEATABLE"),
        check_own_success,
    ),
    "its guard is not seen": (
        Mutant(ElasticsearchConnection.request, "not GUARDS.isdisjoint(params)", "False"),
        check_own_success,
    ),
    "it is not looked for": (Mutant(REPLACE, "if stored == orjson", "if 0 == orjson"), check_own_success),
    "another's success is one's own": (Mutant(REPLACE, "return False", "return True"), check_anothers_success),
    "what was lost counts as a conflict": (Mutant(REPLACE, "if now == guard:", "if False:"), check_a_lost_request),
    "what is parked is not found": (
        Mutant(ParkingLot._change, "await self._refresh()", "pass"),
        check_parking,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_write_whose_outcome_is_misjudged_is_noticed(
    elasticsearch_url: str, index_prefix: str, mutant: str
) -> None:
    at_work, check = MUTANTS[mutant]
    async with world(elasticsearch_url, index_prefix) as at:
        with noticed(at_work, or_raises=(DependencyDown,)):
            await check(at)
