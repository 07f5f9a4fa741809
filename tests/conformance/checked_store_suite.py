"""What every store must do to be compared with the write side, and mended. See CheckedStore."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest_asyncio

from query_service.application.ports.checked_store import (
    CheckedReadStore,
    DriftRecord,
    ScannedOrder,
    StoredDriftRecord,
)
from query_service.application.ports.read_store import Applied
from query_service.projection.external_version import external_version
from tests.conformance.read_store_suite import a_parked_event, an_event

OpenCheckedStore = Callable[[], CheckedReadStore]


class CheckedStoreSuite:
    """The suite. `installation` of the subclass gives a way to open one empty, prepared installation."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def store(self, installation: OpenCheckedStore) -> AsyncIterator[CheckedReadStore]:
        store = installation()
        yield store
        await store.close()

    async def test_a_scan_shows_orders_in_the_sequence_of_ids(self, store: CheckedReadStore) -> None:
        events = sorted((an_event(str(uuid.uuid4()), version) for version in (1, 2, 3)), key=lambda one: one.order_id)
        await store.apply(events)
        await store.refresh()
        scanned = [order async for page in store.scan(documents=True) for order in page]
        assert scanned == [
            ScannedOrder(one.order_id, one.version, one.order["hash"], one.external_version, one.order)
            for one in events
        ]
        bare = [
            order async for page in store.scan(after=events[0].order_id, until=events[1].order_id) for order in page
        ]
        assert bare == [replace(scanned[1], document=None)]
        assert [page async for page in store.scan(after=events[2].order_id)] == []

    async def test_external_versions_are_of_the_last_write(self, store: CheckedReadStore, order_id: str) -> None:
        await store.apply([an_event(order_id, 1), an_event(order_id, 2, revision=4)])
        found = await store.external_versions(order_id, [1, 2, 3])
        assert found.order == external_version(1, 2, 4)
        assert found.entries == {1: external_version(1, 1), 2: external_version(1, 2, 4)}
        assert (await store.external_versions(str(uuid.uuid4()), [1])).order == 0

    async def test_entries_alone_leave_the_document(self, store: CheckedReadStore, order_id: str) -> None:
        first, second = an_event(order_id, 1), an_event(order_id, 2)
        await store.apply([first])
        assert await store.apply_entries([second]) == [Applied()]
        assert (await store.orders([order_id]))[0].document == first.order
        assert await store.entries(order_id, [1, 2]) == [first.event, second.event]

    async def test_a_removed_order_does_not_come_back_by_what_was_sent_before(
        self, store: CheckedReadStore, order_id: str
    ) -> None:
        events, other = [an_event(order_id, version) for version in (1, 2)], an_event(str(uuid.uuid4()), 1)
        await store.apply([*events, other])
        await store.park(a_parked_event(order_id, 3))
        await store.remove(order_id)
        await store.apply(events)
        [stored] = await store.orders([order_id])
        assert (stored.document, stored.parked_versions) == (None, ())
        assert await store.entries(order_id, [1, 2]) == [None, None]
        assert (await store.orders([other.order_id]))[0].document == other.order
        await store.remove(order_id)
        again = an_event(order_id, 3)
        await store.apply([again])
        assert (await store.orders([order_id]))[0].document == again.order

    async def test_later_entries_are_removed_alone(self, store: CheckedReadStore, order_id: str) -> None:
        events = [an_event(order_id, version) for version in (1, 2, 3)]
        await store.apply(events)
        await store.remove(order_id, above=1)
        assert await store.entries(order_id, [1, 2, 3]) == [events[0].event, None, None]
        assert (await store.orders([order_id]))[0].document == events[2].order

    async def test_of_two_changes_of_the_record_one_wins(self, store: CheckedReadStore) -> None:
        first = await store.drift_record()
        assert first == StoredDriftRecord(DriftRecord())
        record = DriftRecord("holder", 7, 1_000, 1.5, 3, {"DOCUMENT_OLDER": 2}, {"DOCUMENT_OLDER": 1}, "why")
        assert await store.save_drift_record(record, first)
        assert not await store.save_drift_record(DriftRecord("another"), first)
        second = await store.drift_record()
        assert second.record == record
        assert await store.save_drift_record(DriftRecord("another"), second)

    async def test_nothing_is_swapped(self, store: CheckedReadStore) -> None:
        await store.apply([an_event(str(uuid.uuid4()), 1)])
        assert await store.swapped_indices() == []
