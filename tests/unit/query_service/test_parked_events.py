"""Looking at parked events, trying them again, forgetting them."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import Deferred, Outcome, ParkedEvent, Refused
from query_service.application.projecting.parked_events import (
    NothingParked,
    ParkedEvents,
    RetryOutcome,
    StillNeeded,
    StreamMessage,
)
from query_service.parked_commands import run_parked
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import PublishedEvent, an_order, published


class Store(MemoryStore):
    """The reference store, which may refuse."""

    instead: Callable[[ProjectedEvent], Outcome] | None = None

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        if self.instead is not None:
            return [self.instead(event) for event in events]
        return await super().apply(events)


class World:
    """A store, a stream, and what readers were told."""

    def __init__(self) -> None:
        self.store, self.other = Store(), Store()
        self.stream: dict[int, StreamMessage] = {}
        self.told: list[tuple[str, int]] = []
        self.events = ParkedEvents(self.store, self._open, lambda: 99, self._others)

    async def _open(self) -> tuple["World", "World"]:
        return self, self

    async def _others(self) -> list[Store]:
        return [self.other]

    async def message(self, stream: str, sequence: int) -> StreamMessage | None:
        assert stream == "S"
        return self.stream.get(sequence)

    async def applied(self, versions: Sequence[tuple[str, int]]) -> None:
        self.told += versions

    async def parked(self, versions: Sequence[tuple[str, int]]) -> None:
        raise AssertionError("it was parked before")

    async def park(self, event: PublishedEvent) -> str:
        """Parks an event that stands in the stream; gives its key."""
        sequence = len(self.stream) + 1
        self.stream[sequence] = StreamMessage(7, event.headers, event.body)
        unmappable = Unprojectable.UNMAPPABLE
        of = event.order_id, event.version, event.event_id, event.event_type
        await self.store.park(ParkedEvent(*of, "S", sequence, 7, sequence, unmappable, "x"))
        return f"{event.order_id}/{event.version}"


async def test_a_retry_brings_it_in_and_tells_those_who_wait() -> None:
    world = World()
    event = published(an_order(version=2))
    key = await world.park(event)
    [retried] = await world.events.retry(key)
    assert retried.outcome is RetryOutcome.APPLIED
    assert [order.version for order in await world.other.orders([event.order_id])] == [2]
    assert world.told == [(event.order_id, 2)]
    [stored] = await world.store.orders([event.order_id])
    assert (stored.version, stored.parked_versions) == (2, ())
    with pytest.raises(NothingParked):
        await world.events.show(key)


async def test_a_retry_fills_the_hole_of_a_healed_order() -> None:
    world = World()
    later = published(an_order(version=3))
    await world.store.apply([project(read_event(later.headers, later.body))])
    await world.park(published(an_order(later.order_id, 2)))
    [entry] = await world.events.show(later.order_id)
    assert (entry.healed, entry.order_version) == (True, 3)
    await world.events.retry(later.order_id)
    [stored] = await world.store.orders([later.order_id])
    assert (stored.version, stored.parked_versions) == (3, ())
    assert (await world.store.entries(later.order_id, [2]))[0] is not None


async def test_what_is_still_wrong_stays_parked_with_its_present_reason() -> None:
    world = World()
    key = await world.park(published(an_order(), payload_changes={"order.total": "much"}))
    [retried] = await world.events.retry(key)
    assert retried.outcome is RetryOutcome.STILL_PARKED
    [entry] = await world.events.show(key)
    assert (entry.event.reason, entry.event.parked_at) == (Unprojectable.MALFORMED, 99)
    sound = await world.park(published(an_order()))
    world.store.instead = lambda event: Refused(Unprojectable.CONFLICTING, "another event stands there")
    assert (await run_parked(world.events, "retry", sound)).exit_code == 1
    [entry] = await world.events.show(sound)
    assert entry.event.detail == "another event stands there"


async def test_what_cannot_be_tried_now_changes_nothing() -> None:
    world = World()
    key = await world.park(published(an_order()))
    before = await world.events.show(key)
    world.store.instead = lambda event: Deferred("blocked")
    with pytest.raises(DependencyDown, match="blocked"):
        await world.events.retry(key)
    assert (await run_parked(world.events, "retry", key)).exit_code == 3
    assert await world.events.show(key) == before
    assert world.told == []


async def test_a_message_that_left_the_stream_is_said_to_be_gone() -> None:
    world = World()
    key = await world.park(published(an_order()))
    there = world.stream[1]
    world.stream[1] = replace(there, stored_at=8)  # of a stream that was made anew
    assert [one.outcome for one in await world.events.retry(key)] == [RetryOutcome.MESSAGE_GONE]
    world.stream.clear()
    assert [one.outcome for one in await world.events.retry(key)] == [RetryOutcome.MESSAGE_GONE]
    assert await world.events.show(key)


async def test_one_key_names_one_version_or_all_of_an_order() -> None:
    world = World()
    one = published(an_order(version=2))
    keys = [await world.park(one), await world.park(published(an_order(one.order_id, 4)))]
    other = await world.park(published(an_order()))
    assert [entry.key for entry in await world.events.everything()] == [*keys, other]
    assert [entry.key for entry in await world.events.show(one.order_id)] == keys
    assert [entry.key for entry in await world.events.show(keys[1])] == [keys[1]]
    for unknown in (f"{one.order_id}/3", str(uuid.uuid4()), "S/9"):
        report = await run_parked(world.events, "show", unknown)
        assert (report.exit_code, unknown in report.error) == (1, True)


async def test_only_what_a_later_version_healed_is_forgotten_without_asking_twice() -> None:
    world = World()
    event = published(an_order(version=2))
    key = await world.park(event)
    with pytest.raises(StillNeeded, match=event.order_id):
        await world.events.discard(key)
    assert (await world.store.orders([event.order_id]))[0].lacks_parked_version
    later = published(an_order(event.order_id, 3))
    await world.store.apply([project(read_event(later.headers, later.body))])
    assert [entry.key for entry in await world.events.discard(key)] == [key]
    assert await world.events.everything() == []
    key = await world.park(published(an_order(event.order_id, 9)))
    report = await run_parked(world.events, "discard", key, needed_too=True)
    assert (report.exit_code, len(report.entries)) == (0, 1)
    assert await world.events.everything() == []


async def test_a_message_of_nobody_is_named_by_its_place() -> None:
    world = World()
    parked = ParkedEvent(None, 0, "", "", "S", 11, 7, 1, Unprojectable.MALFORMED, "ce-id is missing")
    await world.store.park(parked)
    world.stream[11] = StreamMessage(7, {}, b"")
    assert [entry.key for entry in await world.events.show("S/11")] == ["S/11"]
    assert [one.outcome for one in await world.events.retry("S/11")] == [RetryOutcome.STILL_PARKED]
    await world.events.discard("S/11")
    assert await world.events.everything() == []
