"""What is acknowledged, when, and what is parked: the projector's decisions around a store that fails on purpose."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Deferred, Outcome, ParkedEvent
from query_service.application.projecting import project_events
from query_service.application.projecting.project_events import Delivery, EventProjector
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.project import ProjectedEvent
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import START, PublishedEvent, an_order, barrier_headers, published
from tests.support.queries.parked_notices import REASON, notice_headers
from tests.support.source_mutants import Mutant, noticed


class FailingStore(MemoryStore):
    """The reference store, which first does what its script says: an exception, or outcomes in place of applying."""

    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self.script: list[Exception | Callable[[ProjectedEvent], Outcome | None]] = []
        self.park_failures: list[Exception] = []
        self._journal = journal

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        self._journal.append(f"apply {len(events)}")
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        outcomes: list[Outcome] = []
        for event in events:
            instead = step(event) if step is not None else None
            outcomes += [instead] if instead is not None else await super().apply([event])
        return outcomes

    async def park(self, event: ParkedEvent) -> None:
        if self.park_failures:
            raise self.park_failures.pop(0)
        self._journal.append("park")
        await super().park(event)

    async def take_back(self, event: ParkedEvent) -> None:
        if self.park_failures:
            raise self.park_failures.pop(0)
        self._journal.append("take back")
        await super().take_back(event)


@dataclass
class Message:
    """A delivery that writes down its acknowledgement."""

    sequence: int
    headers: Mapping[str, str]
    body: bytes
    journal: list[str]
    stored_at: int = 5
    received_at: int = 6
    acked: bool = False

    async def ack(self) -> None:
        self.acked = True
        self.journal.append(f"ack {self.sequence}")


@dataclass
class World:
    """A projector and all it touches, with a journal of what happened in which order."""

    journal: list[str] = field(default_factory=list)
    pauses: list[str] = field(default_factory=list)
    parked_reasons: list[Unprojectable] = field(default_factory=list)
    counted: int = 0

    def __post_init__(self) -> None:
        self.store = FailingStore(self.journal)
        self.projector = EventProjector(
            self.store, _Announcer(self), _Pacer(self), _Observer(self), stream="S", now=lambda: 7
        )
        self._sequence = 0

    def message(self, event: PublishedEvent) -> Message:
        self._sequence += 1
        return Message(self._sequence, event.headers, event.body, self.journal)

    def notice(self, event: PublishedEvent, *, discarded: bool = False) -> Message:
        self._sequence += 1
        return Message(self._sequence, notice_headers(event, discarded=discarded), b"", self.journal)

    def retried(self, event: PublishedEvent) -> Message:
        self._sequence += 1
        headers = {**event.headers, "Tandem-Unparked": "retried"}
        return Message(self._sequence, headers, event.body, self.journal)

    def barrier(self) -> Message:
        self._sequence += 1
        return Message(self._sequence, barrier_headers(START), b"", self.journal)


class _Announcer:
    def __init__(self, world: World) -> None:
        self._world = world

    async def applied(self, versions: Sequence[tuple[str, int]]) -> None:
        self._world.journal.append(f"tell {len(versions)}")

    async def parked(self, versions: Sequence[tuple[str, int]]) -> None:
        self._world.journal.append(f"tell parked {len(versions)}")


class _Pacer:
    def __init__(self, world: World) -> None:
        self._world = world

    async def pause(self, reason: str) -> None:
        self._world.pauses.append(reason)

    def resume(self) -> None:
        pass


class _Observer:
    def __init__(self, world: World) -> None:
        self._world = world

    def applied(self, event: ProjectedEvent, delivery: Delivery) -> None:
        self._world.counted += 1

    def parked(self, reason: Unprojectable) -> None:
        self._world.parked_reasons.append(reason)


@pytest.fixture
def world() -> World:
    return World()


async def test_applied_then_told_then_acknowledged(world: World) -> None:
    messages = [world.message(published(an_order())) for _ in range(2)]
    assert await world.projector.project(messages) == []
    assert world.journal == ["apply 2", "tell 2", "ack 1", "ack 2"]
    assert (world.counted, world.pauses) == (2, [])


async def test_each_event_of_a_large_batch_is_applied_once(world: World) -> None:
    messages = [world.message(published(an_order())) for _ in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project_events, "READ_AT_ONCE", 2)
        await world.projector.project(messages)
    assert world.journal == ["apply 5", "tell 5", *(f"ack {number}" for number in range(1, 6))]


async def test_what_is_wrong_in_a_group_is_parked_and_the_others_are_applied(world: World) -> None:
    """The second can be read but not be projected, the fourth cannot be read; each is of a group of two."""
    events = [published(an_order()) for _ in range(5)]
    events[1] = published(an_order(), payload_changes={"order.state": "ORDER_STATE_LENT"})
    events[3] = published(an_order(), payload_changes={"order.total": 1})
    messages = [world.message(event) for event in events[:3]]
    messages += [world.barrier(), *(world.message(event) for event in events[3:])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project_events, "READ_AT_ONCE", 2)
        [reached] = await world.projector.project(messages)
    parked = ["park", "tell parked 1", "ack 2", "park", "tell parked 1", "ack 5"]
    assert world.journal == [*parked, "apply 3", "tell 3", "ack 1", "ack 3", "ack 6", "ack 4"]
    assert reached.sequence == 4
    assert world.parked_reasons == [Unprojectable.UNMAPPABLE, Unprojectable.MALFORMED]


@pytest.mark.mutant
async def test_mutant_that_lets_one_event_stop_its_group_is_noticed() -> None:
    stops = Mutant(project_events._project, "except ProjectionError", "except ZeroDivisionError")
    with noticed(stops, or_raises=(ProjectionError,)):
        await test_what_is_wrong_in_a_group_is_parked_and_the_others_are_applied(World())


async def test_nothing_is_nothing(world: World) -> None:
    assert await world.projector.project([]) == []
    assert world.journal == []


async def test_while_the_store_is_away_the_same_events_are_tried_again(world: World) -> None:
    world.store.script = [DependencyDown("elasticsearch", "away"), DependencyDown("elasticsearch", "still away")]
    messages = [world.message(published(an_order())) for _ in range(2)]
    await world.projector.project(messages)
    assert world.journal == ["apply 2", "apply 2", "apply 2", "tell 2", "ack 1", "ack 2"]
    assert world.pauses == ["elasticsearch: away", "elasticsearch: still away"]
    assert world.parked_reasons == []


async def test_what_is_in_is_acknowledged_and_only_the_rest_is_tried_again(world: World) -> None:
    first, second, third = (world.message(published(an_order())) for _ in range(3))
    late = second.headers["ce-subject"]
    world.store.script = [lambda event: Deferred("429") if event.order_id == late else None]
    await world.projector.project([first, second, third])
    assert world.journal == ["apply 3", "tell 2", "ack 1", "ack 3", "apply 1", "tell 1", "ack 2"]
    assert world.pauses == ["429"]


async def test_missing_set_up_stops_it_and_nothing_is_acknowledged(world: World) -> None:
    world.store.script = [ReadStoreNotReady("no alias")]
    message = world.message(published(an_order()))
    with pytest.raises(ReadStoreNotReady):
        await world.projector.project([message])
    assert not message.acked


async def test_what_cannot_be_read_is_parked_before_it_is_acknowledged(world: World) -> None:
    broken = world.message(published(an_order(version=3), payload_changes={"order.total": 1}))
    sound = world.message(published(an_order()))
    await world.projector.project([broken, sound])
    assert world.journal == ["park", "tell parked 1", "ack 1", "apply 1", "tell 1", "ack 2"]
    [parked] = await world.store.parked(broken.headers["ce-subject"])
    assert (parked.version, parked.sequence, parked.stored_at, parked.parked_at) == (3, 1, 5, 7)
    assert (parked.stream, parked.reason) == ("S", Unprojectable.MALFORMED)


async def test_what_the_store_refuses_is_parked(world: World) -> None:
    order_id = str(uuid.uuid4())
    await world.projector.project([world.message(published(an_order(order_id)))])
    twin = world.message(published(an_order(order_id)))
    await world.projector.project([twin])
    assert world.journal[-3:] == ["park", "tell parked 1", "ack 2"]
    assert world.parked_reasons == [Unprojectable.CONFLICTING]


async def test_parking_waits_for_the_store_too(world: World) -> None:
    world.store.park_failures = [DependencyDown("elasticsearch", "away")]
    broken = world.message(published(an_order(), payload_changes={"order.total": 1}))
    await world.projector.project([broken])
    assert broken.acked
    assert world.pauses == ["elasticsearch: away"]


async def test_a_message_of_nobody_is_parked_without_a_notice(world: World) -> None:
    junk = Message(9, {}, b"\x00", world.journal)
    await world.projector.project([junk])
    assert world.journal == ["park", "ack 9"]


async def test_barriers_are_handed_back_after_everything_before_them_is_done(world: World) -> None:
    event, barrier = world.message(published(an_order())), world.barrier()
    [reached] = await world.projector.project([event, barrier])
    assert world.journal == ["apply 1", "tell 1", "ack 1", "ack 2"]
    assert (reached.sequence, reached.stored_at, reached.barrier.source_epoch) == (2, 5, 1)


async def test_a_broken_barrier_is_parked(world: World) -> None:
    headers = {**barrier_headers(START), "Tandem-Barrier-Time": "soon"}
    assert await world.projector.project([Message(1, headers, b"", world.journal)]) == []
    assert world.parked_reasons == [Unprojectable.MALFORMED]


async def test_what_the_relay_parked_is_parked_before_it_is_acknowledged(world: World) -> None:
    event = published(an_order(version=3))
    notice = world.notice(event)
    assert await world.projector.project([notice]) == []
    assert world.journal == ["park", "tell parked 1", "ack 1"]
    [parked] = await world.store.parked(event.order_id)
    assert (parked.version, parked.event_id, parked.event_type) == (3, event.event_id, event.event_type)
    assert (parked.sequence, parked.stored_at, parked.parked_at) == (1, 5, 7)
    assert (parked.reason, parked.detail) == (Unprojectable.PARKED_BY_RELAY, REASON)
    assert world.parked_reasons == [Unprojectable.PARKED_BY_RELAY]
    [order] = await world.store.orders([event.order_id])
    assert order.lacks_parked_version


async def test_a_discard_takes_the_record_back_for_good(world: World) -> None:
    event = published(an_order(version=3))
    notice, discard = world.notice(event), world.notice(event, discarded=True)
    world.store.park_failures = [DependencyDown("elasticsearch", "away")]
    await world.projector.project([discard])
    assert (world.journal, world.pauses) == (["take back", "ack 2"], ["elasticsearch: away"])
    await world.projector.project([notice])  # delivered again, after the message that takes it back
    assert notice.acked
    assert await world.store.parked(event.order_id) == []


async def test_a_retry_takes_the_record_back_before_it_is_acknowledged(world: World) -> None:
    first, second = (published(an_order(version=version)) for version in (3, 4))
    notices = [world.notice(first), world.notice(second)]
    await world.projector.project([world.retried(first), *notices])
    assert world.journal[-4:] == ["apply 1", "tell 1", "take back", "ack 3"]
    assert await world.store.parked(first.order_id) == []
    assert len(await world.store.parked(second.order_id)) == 1


async def test_what_a_retry_brings_and_nobody_can_project_stays_parked(world: World) -> None:
    event = published(an_order(version=3), payload_changes={"order.total": 1})
    notice, again = world.notice(event), world.retried(event)
    await world.projector.project([again])
    await world.projector.project([notice])
    [parked] = await world.store.parked(event.order_id)
    assert (parked.sequence, parked.reason) == (2, Unprojectable.MALFORMED)


@pytest.mark.parametrize("nameless", ["Tandem-Aggregate-Id", "Tandem-Version"])
async def test_a_notice_that_names_no_order_counts_as_a_barrier(world: World, nameless: str) -> None:
    headers = dict(notice_headers(published(an_order())))
    del headers[nameless]
    [reached] = await world.projector.project([Message(1, headers, b"", world.journal)])
    assert (reached.barrier.time, world.journal) == (None, ["ack 1"])


_ROUND, _PARK, _SORTED = EventProjector._round, EventProjector._park, project_events._sorted
_APPLY = "outcomes = await self._store.apply("
#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[World], Awaitable[None]]]] = {
    "acknowledged before it is applied": (
        Mutant(_ROUND, _APPLY, f"[await task.delivery.ack() for task in tasks]; {_APPLY}"),
        test_applied_then_told_then_acknowledged,
    ),
    "told before it is applied": (
        Mutant(_ROUND, _APPLY, f"await self._announcer.applied([('', 1)]); {_APPLY}"),
        test_applied_then_told_then_acknowledged,
    ),
    "never told": (
        Mutant(_ROUND, "for task in done])", "for task in done]) if False else None"),
        test_applied_then_told_then_acknowledged,
    ),
    "given up when the store is away": (
        Mutant(_ROUND, "return tasks", "return []"),
        test_while_the_store_is_away_the_same_events_are_tried_again,
    ),
    "what was put off counts as applied": (
        Mutant(project_events._settled, "deferred.append(task)", "done.append(task)"),
        test_what_is_in_is_acknowledged_and_only_the_rest_is_tried_again,
    ),
    "all is tried again for one": (
        Mutant(_ROUND, "return deferred", "return deferred and tasks"),
        test_what_is_in_is_acknowledged_and_only_the_rest_is_tried_again,
    ),
    "tried again without a pause": (
        Mutant(_ROUND, "if deferred:", "if False:"),
        test_what_is_in_is_acknowledged_and_only_the_rest_is_tried_again,
    ),
    "acknowledged before it is parked": (
        Mutant(_PARK, "self._now())", "self._now()); await one.delivery.ack()"),
        test_what_cannot_be_read_is_parked_before_it_is_acknowledged,
    ),
    "parked and not told": (
        Mutant(_PARK, "if parked.order_id is not None:", "if False:"),
        test_what_cannot_be_read_is_parked_before_it_is_acknowledged,
    ),
    "what the store refuses is dropped": (
        Mutant(_ROUND, "await self._park(refused)", "pass"),
        test_what_the_store_refuses_is_parked,
    ),
    "parking is tried once": (
        Mutant(EventProjector._insist, "await self._pacer.pause(str(down))", "break"),
        test_parking_waits_for_the_store_too,
    ),
    "the relay's notice is taken for a barrier": (
        Mutant(_SORTED, "(notice := read_notice(headers)) is None", "True"),
        test_what_the_relay_parked_is_parked_before_it_is_acknowledged,
    ),
    "the end of a batch is not projected": (
        Mutant(_SORTED, "_project(read, tasks, hopeless)\n    return", "return"),
        test_each_event_of_a_large_batch_is_applied_once,
    ),
    "what was projected is projected again": (
        Mutant(_SORTED, "    read = []", "    pass"),
        test_each_event_of_a_large_batch_is_applied_once,
    ),
    "a discard is taken for another notice": (
        Mutant(_SORTED, "elif notice.taken_back:", "elif False:"),
        test_a_discard_takes_the_record_back_for_good,
    ),
    "a retry leaves the record": (
        Mutant(_ROUND, "if was_parked(task.delivery.headers):", "if False:"),
        test_a_retry_takes_the_record_back_before_it_is_acknowledged,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_projector_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work):
        await check(World())
