"""What every read store must do. A thin test module per store subclasses ReadStoreSuite and says how to open it."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
import pytest_asyncio
from msgspec import structs

from query_service.application.ports.read_store import (
    Applied,
    EntryAtTime,
    Freshness,
    ParkedEvent,
    ReadStore,
    Refused,
    ShownOrder,
    StoredOrder,
)
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import START, an_order, published, redaction

#: Opens the same installation once more, as another process would.
OpenStore = Callable[[], ReadStore]


def an_event(
    order_id: str,
    version: int,
    *,
    event_id: str | None = None,
    epoch: int = 1,
    revision: int = 0,
    redacted_before: bool = False,
) -> ProjectedEvent:
    """The event that leaves the order at `version`, recorded `version` seconds after a day after START."""
    order = an_order(order_id, version)
    order.redacted = redacted_before
    message = published(order, event_id=event_id, source_epoch=epoch)
    return project(read_event(message.headers, message.body), revision)


async def check_erased(store: ReadStore, order_id: str, versions: Sequence[int]) -> None:
    """No personal data and no salt stays in these entries; the rest does."""
    for entry in await store.entries(order_id, versions):
        assert entry is not None
        assert (entry["personal"], entry["salt"]) == (None, None), "still there"
        assert (entry["payload"] != "", entry["personal_digest"] != "", entry["hash"] != "") == (True, True, True)


def a_redaction(order_id: str, version: int) -> ProjectedEvent:
    """ORDER_REDACTED, which leaves the order at `version`."""
    message = redaction(order_id, version)
    return project(read_event(message.headers, message.body))


def recorded(version: int, milliseconds: int = 0) -> int:
    """When `an_event` of that version was recorded, in microseconds since 1970."""
    moment = START + timedelta(days=1, seconds=version, milliseconds=milliseconds)
    return round(moment.timestamp() * 1_000_000)


def a_parked_event(order_id: str | None, version: int, sequence: int = 1) -> ParkedEvent:
    return ParkedEvent(
        order_id=order_id,
        version=version,
        event_id=str(uuid.uuid4()),
        event_type="ORDER_REVISED",
        stream="ORDERS",
        sequence=sequence,
        stored_at=recorded(0),
        parked_at=recorded(version),
        reason=Unprojectable.UNMAPPABLE,
        detail="order_number is too long",
    )


@pytest.fixture
def order_id() -> str:
    return str(uuid.uuid4())


class ReadStoreSuite:
    """The suite. `installation` of the subclass gives a way to open one empty, prepared installation repeatedly."""

    name: ClassVar[str]
    #: Whether another process finds what this one has stored.
    survives_restarts: ClassVar[bool] = True

    @pytest_asyncio.fixture(loop_scope="session")
    async def store(self, installation: OpenStore) -> AsyncIterator[ReadStore]:
        store = installation()
        yield store
        await store.close()

    # -- applying ------------------------------------------------------------------------------------------------

    async def test_versions_in_any_order_leave_the_highest(self, store: ReadStore, order_id: str) -> None:
        events = [an_event(order_id, version) for version in range(1, 6)]
        for seed in range(3):
            shuffled = random.Random(seed).sample(events, len(events))
            outcomes = await store.apply(shuffled[:2]) + await store.apply(shuffled[2:])
            assert outcomes == [Applied()] * 5
        [stored] = await store.orders([order_id])
        assert stored == StoredOrder(order_id, events[-1].order)
        assert await store.shown([order_id, str(uuid.uuid4())]) == [ShownOrder((1, 5)), ShownOrder()]
        assert await store.entries(order_id, range(1, 6)) == [event.event for event in events]

    async def test_an_older_event_after_a_newer_one_changes_nothing(self, store: ReadStore, order_id: str) -> None:
        older, newer = an_event(order_id, 1), an_event(order_id, 2)
        assert await store.apply([newer]) == [Applied()]
        assert await store.apply([older]) == [Applied()]
        [stored] = await store.orders([order_id])
        assert stored.document == newer.order

    async def test_the_same_event_again_is_a_success(self, store: ReadStore, order_id: str) -> None:
        event = an_event(order_id, 1)
        assert await store.apply([event, event]) == [Applied(), Applied()]
        assert await store.apply([event]) == [Applied()]
        assert (await store.orders([order_id]))[0].document == event.order

    async def test_another_event_for_the_same_version_is_reported(self, store: ReadStore, order_id: str) -> None:
        first, second = an_event(order_id, 1), an_event(order_id, 1)
        assert await store.apply([first]) == [Applied()]
        [outcome] = await store.apply([second])
        assert isinstance(outcome, Refused)
        assert outcome.reason is Unprojectable.CONFLICTING
        assert first.event_id in outcome.detail
        assert (await store.orders([order_id]))[0].document == first.order

    async def test_another_event_for_an_older_version_is_reported_too(self, store: ReadStore, order_id: str) -> None:
        await store.apply([an_event(order_id, 1), an_event(order_id, 2)])
        [outcome] = await store.apply([an_event(order_id, 1)])
        assert isinstance(outcome, Refused)
        assert outcome.reason is Unprojectable.CONFLICTING

    async def test_a_revision_replaces_and_is_not_replaced_by_its_event(self, store: ReadStore, order_id: str) -> None:
        event = an_event(order_id, 2, event_id=str(uuid.uuid4()))
        revised = an_event(order_id, 2, event_id=event.event_id, revision=1)
        assert await store.apply([event, revised, event]) == [Applied()] * 3
        [stored] = await store.orders([order_id])
        assert stored.document is not None
        assert stored.document["revision"] == 1
        assert await store.entries(order_id, [2]) == [revised.event]

    # -- redactions ----------------------------------------------------------------------------------------------

    async def test_a_redaction_erases_the_earlier_entries(self, store: ReadStore, order_id: str) -> None:
        other = str(uuid.uuid4())
        await store.apply([an_event(order_id, 1), an_event(order_id, 2), an_event(other, 1)])
        outcomes = await store.apply([a_redaction(order_id, 3), an_event(order_id, 3 + 1, redacted_before=True)])
        assert outcomes == [Applied()] * 2
        await check_erased(store, order_id, [1, 2])
        assert [entry and entry["personal"] is not None for entry in await store.entries(order_id, [3, 4])] == [
            True
        ] * 2
        [untouched] = await store.entries(other, [1])
        assert untouched is not None
        assert untouched["personal"] is not None
        await store.apply([a_redaction(order_id, 3)])
        assert [entry and entry["revision"] for entry in await store.entries(order_id, [1, 2, 3])] == [1, 1, 0]

    async def test_a_rebuild_after_a_redaction_gives_the_live_documents(self, store: ReadStore, order_id: str) -> None:
        events, redaction = [an_event(order_id, version) for version in (1, 2)], a_redaction(order_id, 3)
        await store.apply([*events, redaction])
        journal = [
            project(
                structs.replace(read_event(message.headers, message.body), personal=None, personal_text=None, salt=None)
            )
            for message in (published(an_order(order_id, event.version), event_id=event.event_id) for event in events)
        ]
        rebuilt = MemoryStore()
        assert await rebuilt.fill([[*journal, redaction]]) == [Applied()] * 3
        assert await rebuilt.orders([order_id]) == await store.orders([order_id])
        for live, filled in zip(
            await store.entries(order_id, [1, 2, 3]), await rebuilt.entries(order_id, [1, 2, 3]), strict=True
        ):
            assert live is not None
            assert {**live, "revision": 0} == filled

    async def test_an_entry_that_comes_after_the_redaction_brings_nothing_back(
        self, store: ReadStore, order_id: str
    ) -> None:
        events = [an_event(order_id, version) for version in range(1, 4)]
        redaction = a_redaction(order_id, 4)
        await store.apply([events[0]])
        assert await store.apply([redaction]) == [Applied()]
        assert await store.apply([events[1]]) == [Applied()]
        assert await store.fill([events]) == [Applied()] * 3
        await check_erased(store, order_id, [1, 2, 3])
        again = an_event(order_id, 2, event_id=events[1].event_id, revision=5)
        assert await store.apply([again]) == [Applied()]
        await check_erased(store, order_id, [2])
        [stored] = await store.orders([order_id])
        assert stored.document == redaction.order

    async def test_a_later_source_epoch_replaces_higher_versions(self, store: ReadStore, order_id: str) -> None:
        await store.apply([an_event(order_id, 9, epoch=1)])
        restored = an_event(order_id, 3, epoch=2)
        assert await store.apply([restored]) == [Applied()]
        assert (await store.orders([order_id]))[0].document == restored.order

    async def test_outcomes_stand_in_the_order_of_the_events(self, store: ReadStore) -> None:
        good = [an_event(str(uuid.uuid4()), 1) for _ in range(3)]
        await store.apply([good[1]])
        twin = an_event(good[1].order_id, 1)
        outcomes = await store.apply([good[0], twin, good[2]])
        assert [type(outcome) for outcome in outcomes] == [Applied, Refused, Applied]

    async def test_nothing_to_apply_is_fine(self, store: ReadStore) -> None:
        assert await store.apply([]) == []

    # -- reading -------------------------------------------------------------------------------------------------

    async def test_an_order_is_there_at_once(self, store: ReadStore, installation: OpenStore) -> None:
        reader = installation()
        try:
            for _ in range(20):
                event = an_event(str(uuid.uuid4()), 1)
                await store.apply([event])
                assert (await store.orders([event.order_id]))[0].document == event.order
        finally:
            await reader.close()

    async def test_many_orders_come_in_the_order_asked(self, store: ReadStore) -> None:
        events = [an_event(str(uuid.uuid4()), version) for version in (1, 2, 3)]
        await store.apply(events)
        unknown = str(uuid.uuid4())
        found = await store.orders([events[2].order_id, unknown, events[0].order_id, events[1].order_id])
        assert [stored.version for stored in found] == [3, 0, 1, 2]
        assert found[1] == StoredOrder(unknown)
        assert await store.orders([]) == []

    async def test_what_a_reader_changes_stays_his(self, store: ReadStore, order_id: str) -> None:
        event = an_event(order_id, 1)
        await store.apply([event])
        [stored] = await store.orders([order_id])
        assert stored.document is not None
        stored.document["sales"].clear()
        assert (await store.orders([order_id]))[0].document == event.order

    async def test_each_version_can_be_read(self, store: ReadStore, order_id: str) -> None:
        events = [an_event(order_id, version) for version in (1, 2, 3)]
        await store.apply(events)
        assert await store.entries(order_id, [2]) == [events[1].event]
        assert await store.entries(order_id, [4]) == [None]

    async def test_history_is_read_by_version_and_shows_holes(self, store: ReadStore, order_id: str) -> None:
        events = [an_event(order_id, version) for version in (1, 2, 4)]
        await store.apply(events)
        assert await store.entries(order_id, range(1, 6)) == [
            events[0].event,
            events[1].event,
            None,
            events[2].event,
            None,
        ]
        assert await store.entries(order_id, []) == []

    async def test_the_version_in_force_at_a_time(self, store: ReadStore, order_id: str) -> None:
        events = [an_event(order_id, version) for version in range(1, 101)]
        await store.apply(events)
        for version in (1, 2, 50, 99, 100):
            expected = EntryAtTime(events[version - 1].event)
            assert await store.entry_at(order_id, recorded(version)) == expected
            assert await store.entry_at(order_id, recorded(version, 999)) == expected
        assert await store.entry_at(order_id, recorded(0, 999)) == EntryAtTime(None)
        assert await store.entry_at(str(uuid.uuid4()), recorded(1)) == EntryAtTime(None)

    async def test_a_hole_that_could_be_in_force_is_named(self, store: ReadStore, order_id: str) -> None:
        events = {version: an_event(order_id, version) for version in (1, 2, 4)}
        await store.apply(list(events.values()))
        assert await store.entry_at(order_id, recorded(2, 500)) == EntryAtTime(events[2].event, 3)
        assert await store.entry_at(order_id, recorded(3)) == EntryAtTime(events[2].event, 3)
        assert await store.entry_at(order_id, recorded(1)) == EntryAtTime(events[1].event)
        assert await store.entry_at(order_id, recorded(4)) == EntryAtTime(events[4].event)

    # -- parking -------------------------------------------------------------------------------------------------

    async def test_a_parked_version_shows_with_its_order(self, store: ReadStore, order_id: str) -> None:
        await store.apply([an_event(order_id, 1)])
        parked = [a_parked_event(order_id, version) for version in (3, 2)]
        for event in parked:
            await store.park(event)
        [stored] = await store.orders([order_id])
        assert (stored.version, stored.parked_versions, stored.lacks_parked_version) == (1, (2, 3), True)
        assert await store.parked(order_id) == [parked[1], parked[0]]

    async def test_a_later_version_heals_the_order(self, store: ReadStore, order_id: str) -> None:
        await store.park(a_parked_event(order_id, 1))
        [stored] = await store.orders([order_id])
        assert (stored.document, stored.lacks_parked_version) == (None, True)
        await store.apply([an_event(order_id, 2)])
        [stored] = await store.orders([order_id])
        assert (stored.version, stored.lacks_parked_version) == (2, False)

    async def test_parking_twice_counts_once_and_unparking_forgets(self, store: ReadStore, order_id: str) -> None:
        event = a_parked_event(order_id, 2)
        await store.park(event)
        await store.park(replace(event, detail="again"))
        assert [parked.detail for parked in await store.parked(order_id)] == ["again"]
        await store.unpark(a_parked_event(order_id, 7))
        await store.unpark(event)
        assert await store.parked(order_id) == []
        assert (await store.orders([order_id]))[0].parked_versions == ()
        await store.unpark(a_parked_event(str(uuid.uuid4()), 1))

    async def test_what_is_taken_back_is_parked_again_by_a_later_message_only(
        self, store: ReadStore, order_id: str
    ) -> None:
        early, middle, late = (a_parked_event(order_id, 2, sequence) for sequence in (1, 2, 3))
        await store.take_back(middle)
        await store.park(early)
        assert (await store.orders([order_id]))[0].parked_versions == ()
        assert await store.parked(order_id) == []
        assert all(event.order_id != order_id for event in await store.parked_events())
        await store.park(late)
        await store.park(early)
        await store.take_back(middle)
        assert await store.parked(order_id) == [late]
        assert (await store.orders([order_id]))[0].parked_versions == (2,)
        await store.take_back(replace(late, stored_at=late.stored_at + 1, sequence=1))
        assert await store.parked(order_id) == []

    async def test_a_message_of_nobody_is_parked_by_its_place(self, store: ReadStore) -> None:
        await store.park(a_parked_event(None, 0, sequence=11))
        await store.park(a_parked_event(None, 0, sequence=12))
        await store.park(a_parked_event(None, 0, sequence=12))
        assert {event.sequence for event in await store.parked_events()} >= {11, 12}
        await store.unpark(a_parked_event(None, 0, sequence=11))
        assert 11 not in {event.sequence for event in await store.parked_events() if event.order_id is None}

    async def test_all_that_is_parked_is_listed_healed_or_not(self, store: ReadStore, order_id: str) -> None:
        parked = [a_parked_event(order_id, 1), a_parked_event(order_id, 3), a_parked_event(str(uuid.uuid4()), 1)]
        for event in parked:
            await store.park(event)
        await store.apply([an_event(order_id, 2)])
        listed = await store.parked_events()
        assert all(listed.count(event) == 1 for event in parked)
        await store.unpark(parked[0])
        assert parked[0] not in await store.parked_events()

    # -- freshness and life ----------------------------------------------------------------------------------------

    async def test_freshness_never_goes_back(self, store: ReadStore) -> None:
        generation = (await store.identity()).generation
        assert await store.freshness() is None
        for as_of, kept in ((1_000, 1_000), (3_000, 3_000), (2_000, 3_000), (3_000, 3_000)):
            await store.record_freshness(Freshness(as_of, 1, generation, 7, as_of // 100))
            assert await store.freshness() == Freshness(kept, 1, generation, 7, kept // 100)

    async def test_everything_is_there_after_a_restart_or_nothing(
        self, store: ReadStore, installation: OpenStore, order_id: str
    ) -> None:
        event = an_event(order_id, 1)
        await store.apply([event])
        await store.park(a_parked_event(order_id, 2))
        reopened = installation()
        try:
            identity = await reopened.prepare()
            assert (identity == await store.identity()) is self.survives_restarts
            found = await reopened.orders([order_id])
            assert (found == [StoredOrder(order_id, event.order, (2,))]) is self.survives_restarts
            assert (await reopened.entries(order_id, [1]) == [event.event]) is self.survives_restarts
        finally:
            await reopened.close()

    async def test_the_store_says_what_it_is(self, store: ReadStore) -> None:
        assert store.name == self.name
        identity = await store.identity()
        assert (identity.generation, await store.prepare()) == ("g1", identity)
