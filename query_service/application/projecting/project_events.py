"""Brings events from the stream into the read store: each event is applied or parked, and only then acknowledged.

Events may be applied in any order, so a delivery that is retried never blocks the others. A failure that may pass is
retried for ever. An event that no retry can apply is parked, and answers flag its order as parked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import (
    Applied,
    Deferred,
    Outcome,
    ParkedEvent,
    ProjectionWriter,
    Refused,
)
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.parked_notice import ParkedNotice, read_notice, was_parked
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import (
    Barrier,
    Headers,
    StreamEvent,
    addressee,
    is_barrier,
    read_barrier,
    read_event,
    text_of,
)

#: So many events are read before they are projected. Each step runs faster again and again than in turn with the
#: other, and so few events stay in the processor's caches in between.
READ_AT_ONCE = 100


class Delivery(Protocol):
    """A message delivered to this projector. Without an ack the server redelivers it, to any projector."""

    @property
    def sequence(self) -> int:
        """The message's sequence in the stream."""

    @property
    def stored_at(self) -> int:
        """When the stream stored the message, in microseconds since 1970."""

    @property
    def received_at(self) -> int:
        """When this process received the message, in microseconds since 1970."""

    @property
    def headers(self) -> Headers:
        """The message's headers."""

    @property
    def body(self) -> bytes:
        """The message's body."""

    async def ack(self) -> None:
        """Acknowledges the message. The ack may be lost, and then the message is redelivered."""


class Announcer(Protocol):
    """Publishes notices to waiting readers. A notice may be lost, because readers also read again from time to time."""

    async def applied(self, versions: Sequence[tuple[str, int]]) -> None:
        """Publishes that these (order id, version), or later ones, are applied."""

    async def parked(self, versions: Sequence[tuple[str, int]]) -> None:
        """Publishes that these (order id, version) are parked."""


class Pacer(Protocol):
    """Waits between retries of a step."""

    async def pause(self, reason: str) -> None:
        """Waits before a retry, longer each time until `resume` is called. Operators see the reason."""

    def resume(self) -> None:
        """Records that a step succeeded, so the next pause is short."""


class ProjectionObserver(Protocol):
    """Counts applied and parked events."""

    def applied(self, event: ProjectedEvent, delivery: Delivery) -> None:
        """Counts an event that this delivery applied."""

    def parked(self, reason: Unprojectable) -> None:
        """Counts an event that was parked."""


@dataclass(frozen=True, slots=True)
class ReachedBarrier:
    """A delivered barrier, its stream sequence, and when the stream stored it (microseconds since 1970)."""

    sequence: int
    stored_at: int
    barrier: Barrier


class _Task(NamedTuple):
    """A delivery and its projected event."""

    delivery: Delivery
    event: ProjectedEvent


@dataclass(frozen=True, slots=True)
class _Hopeless:
    """A delivery whose event must be parked, and why. `notice` is the relay's, if the relay has parked the event."""

    delivery: Delivery
    error: ProjectionError
    notice: ParkedNotice | None = None


class EventProjector:
    """Projects the deliveries of one projector.

    `stream` is the stream's name, with which parked events are recorded. `now` returns microseconds since 1970.
    """

    def __init__(
        self,
        store: ProjectionWriter,
        announcer: Announcer,
        pacer: Pacer,
        observer: ProjectionObserver,
        *,
        stream: str,
        now: Callable[[], int],
    ) -> None:
        self._store, self._announcer, self._pacer, self._observer = store, announcer, pacer, observer
        self._stream, self._now = stream, now

    async def project(self, deliveries: Sequence[Delivery]) -> list[ReachedBarrier]:
        """Applies or parks every delivery, acknowledges it, and returns the barriers among the deliveries.

        Retries for ever while the store is down. Raises ReadStoreNotReady when the store is not set up; deliveries that
        are neither applied nor parked are not acknowledged then.
        """
        tasks, hopeless, taken_back, barriers = _sorted(deliveries)
        await self._park(hopeless)
        for delivery, notice in taken_back:
            await self._take_back(_noticed_event(delivery, notice, self._stream, self._now()))
            await delivery.ack()
        while tasks:
            tasks = await self._round(tasks)
        for _, delivery in barriers:
            await delivery.ack()
        return [reached for reached, _ in barriers]

    async def _round(self, tasks: list[_Task]) -> list[_Task]:
        """Tries to apply all events once. Returns those that must be retried."""
        try:
            outcomes = await self._store.apply([task.event for task in tasks])
        except DependencyDown as down:
            await self._pacer.pause(str(down))
            return tasks
        done, refused, deferred, cause = _settled(tasks, outcomes)
        # Announce before the acks: readers wait for it, and after a crash in between the events are only redelivered.
        await self._announcer.applied([(task.event.order_id, task.event.version) for task in done])
        for task in done:
            if was_parked(task.delivery.headers):
                await self._take_back(_retried_event(task, self._stream, self._now()))
            await task.delivery.ack()
            self._observer.applied(task.event, task.delivery)
        await self._park(refused)
        if deferred:
            await self._pacer.pause(cause)
        else:
            self._pacer.resume()
        return deferred

    async def _park(self, hopeless: Sequence[_Hopeless]) -> None:
        for one in hopeless:
            parked = _parked_event(one, self._stream, self._now())
            await self._insist(self._store.park, parked)
            if parked.order_id is not None:
                await self._announcer.parked([(parked.order_id, parked.version)])
            await one.delivery.ack()
            self._observer.parked(parked.reason)

    async def _take_back(self, parked: ParkedEvent) -> None:
        """Deletes what an earlier notice of the relay recorded, also if that notice is still being redelivered."""
        await self._insist(self._store.take_back, parked)

    async def _insist(self, change: Callable[[ParkedEvent], Awaitable[None]], event: ParkedEvent) -> None:
        """Makes a change of the parked events, and retries while the store is down."""
        while True:
            try:
                await change(event)
                break
            except DependencyDown as down:
                await self._pacer.pause(str(down))
        self._pacer.resume()


def _sorted(
    deliveries: Sequence[Delivery],
) -> tuple[list[_Task], list[_Hopeless], list[tuple[Delivery, ParkedNotice]], list[tuple[ReachedBarrier, Delivery]]]:
    """Sorts deliveries into events to apply, events to park, notices that take a record back, and barriers."""
    tasks: list[_Task] = []
    hopeless: list[_Hopeless] = []
    taken_back: list[tuple[Delivery, ParkedNotice]] = []
    barriers: list[tuple[ReachedBarrier, Delivery]] = []
    read: list[tuple[Delivery, StreamEvent]] = []
    for delivery in deliveries:
        try:
            if not is_barrier(headers := delivery.headers):
                read.append((delivery, read_event(headers, delivery.body)))
                if len(read) == READ_AT_ONCE:
                    _project(read, tasks, hopeless)
                    read = []
            elif (notice := read_notice(headers)) is None:
                barrier = read_barrier(headers)
                barriers.append((ReachedBarrier(delivery.sequence, delivery.stored_at, barrier), delivery))
            elif notice.taken_back:
                taken_back.append((delivery, notice))
            else:
                parked = ProjectionError(Unprojectable.PARKED_BY_RELAY, notice.reason)
                hopeless.append(_Hopeless(delivery, parked, notice))
        except ProjectionError as error:
            hopeless.append(_Hopeless(delivery, error))
    _project(read, tasks, hopeless)
    return tasks, hopeless, taken_back, barriers


def _project(read: Sequence[tuple[Delivery, StreamEvent]], tasks: list[_Task], hopeless: list[_Hopeless]) -> None:
    """Projects events that were read, and adds each to what can be applied or to what must be parked."""
    for delivery, event in read:
        try:
            tasks.append(_Task(delivery, project(event)))
        except ProjectionError as error:
            hopeless.append(_Hopeless(delivery, error))


def _settled(
    tasks: Sequence[_Task], outcomes: Sequence[Outcome]
) -> tuple[list[_Task], list[_Hopeless], list[_Task], str]:
    """Sorts tasks by outcome into applied, to park, and to retry. Also returns the first reason to retry, or ""."""
    done: list[_Task] = []
    refused: list[_Hopeless] = []
    deferred: list[_Task] = []
    cause = ""
    for task, outcome in zip(tasks, outcomes, strict=True):
        match outcome:
            case Applied():
                done.append(task)
            case Refused(reason, detail):
                refused.append(_Hopeless(task.delivery, ProjectionError(reason, detail)))
            case Deferred(why):
                deferred.append(task)
                cause = cause or why
    return done, refused, deferred, cause


def _parked_event(hopeless: _Hopeless, stream: str, now: int) -> ParkedEvent:
    if hopeless.notice is not None:
        return _noticed_event(hopeless.delivery, hopeless.notice, stream, now)
    headers = hopeless.delivery.headers
    order_id, version = addressee(headers) or (None, 0)
    return ParkedEvent(
        order_id=order_id,
        version=version,
        event_id=text_of(headers, "ce-id"),
        event_type=text_of(headers, "ce-type"),
        stream=stream,
        sequence=hopeless.delivery.sequence,
        stored_at=hopeless.delivery.stored_at,
        parked_at=now,
        reason=hopeless.error.reason,
        detail=hopeless.error.detail,
    )


def _noticed_event(delivery: Delivery, notice: ParkedNotice, stream: str, now: int) -> ParkedEvent:
    return ParkedEvent(
        order_id=notice.order_id,
        version=notice.version,
        event_id=notice.event_id,
        event_type=notice.event_type,
        stream=stream,
        sequence=delivery.sequence,
        stored_at=delivery.stored_at,
        parked_at=now,
        reason=Unprojectable.PARKED_BY_RELAY,
        detail=notice.reason,
    )


def _retried_event(task: _Task, stream: str, now: int) -> ParkedEvent:
    notice = ParkedNotice(task.event.order_id, task.event.version, "", "", "", taken_back=True)
    return _noticed_event(task.delivery, notice, stream, now)
