"""Applies events from the stream to the read store: each is applied or parked, and only then acknowledged.

Events may be applied in any order, so a delivery that must be repeated never delays the rest. A problem that may end by
itself is waited for without limit. An event that waiting cannot help is parked, and its order reports that to readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import (
    Barrier,
    Headers,
    Parse,
    addressee,
    is_barrier,
    read_barrier,
    read_event,
    text_of,
)


class Delivery(Protocol):
    """A message of the stream that was delivered to this projector. Without an ack it is delivered again, to any."""

    @property
    def sequence(self) -> int:
        """Its stream sequence."""

    @property
    def stored_at(self) -> int:
        """When the stream stored it, microseconds since 1970."""

    @property
    def received_at(self) -> int:
        """When it was received, microseconds since 1970."""

    @property
    def headers(self) -> Headers:
        """Its headers."""

    @property
    def body(self) -> bytes:
        """Its body."""

    async def ack(self) -> None:
        """Acknowledges it. An ack may be lost; then it is delivered again."""


class Announcer(Protocol):
    """Notifies readers of what became readable. Notices may be lost, because readers also look at intervals."""

    async def applied(self, versions: Sequence[tuple[str, int]]) -> None:
        """Announces that these versions of these orders, or later ones, are applied."""

    async def parked(self, versions: Sequence[tuple[str, int]]) -> None:
        """Announces that these versions of these orders are parked."""


class Pacer(Protocol):
    """Decides how long to wait before a failed step is retried."""

    async def pause(self, reason: str) -> None:
        """Waits, longer each time until `resume`. Operators see the reason."""

    def resume(self) -> None:
        """Notes that the step succeeded."""


class ProjectionObserver(Protocol):
    """Counts what happens."""

    def applied(self, event: ProjectedEvent, delivery: Delivery) -> None:
        """Counts an event that this delivery applied."""

    def parked(self, reason: Unprojectable) -> None:
        """Counts a parked event."""


@dataclass(frozen=True, slots=True)
class ReachedBarrier:
    """A delivered barrier, with its stream sequence and when the stream stored it (microseconds)."""

    sequence: int
    stored_at: int
    barrier: Barrier


@dataclass(frozen=True, slots=True)
class _Task:
    """A delivery with its parsed event."""

    delivery: Delivery
    event: ProjectedEvent


@dataclass(frozen=True, slots=True)
class _Hopeless:
    """A delivery whose event can never be applied as it is."""

    delivery: Delivery
    error: ProjectionError


class EventProjector:
    """The use case. `now` gives microseconds since 1970; `parse`: see `read_event`."""

    def __init__(
        self,
        store: ProjectionWriter,
        announcer: Announcer,
        pacer: Pacer,
        observer: ProjectionObserver,
        *,
        stream: str,
        now: Callable[[], int],
        parse: Parse | None = None,
    ) -> None:
        self._store, self._announcer, self._pacer, self._observer = store, announcer, pacer, observer
        self._stream, self._now, self._parse = stream, now, parse

    async def project(self, deliveries: Sequence[Delivery]) -> list[ReachedBarrier]:
        """Returns the barriers among the deliveries once every delivery is acknowledged.

        Raises ReadStoreNotReady when the store's set-up is missing; then nothing unfinished is acknowledged.
        """
        tasks, hopeless, barriers = _sorted(deliveries, self._parse)
        await self._park(hopeless)
        while tasks:
            tasks = await self._round(tasks)
        for _, delivery in barriers:
            await delivery.ack()
        return [reached for reached, _ in barriers]

    async def _round(self, tasks: list[_Task]) -> list[_Task]:
        """Tries all of them once; returns those that are still to do."""
        try:
            outcomes = await self._store.apply([task.event for task in tasks])
        except DependencyDown as down:
            await self._pacer.pause(str(down))
            return tasks
        done, refused, deferred, cause = _settled(tasks, outcomes)
        # Readers may ask as soon as they are told, and nothing is lost if we end between the two.
        await self._announcer.applied([(task.event.order_id, task.event.version) for task in done])
        for task in done:
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
            while True:
                try:
                    await self._store.park(parked)
                    break
                except DependencyDown as down:
                    await self._pacer.pause(str(down))
            self._pacer.resume()
            if parked.order_id is not None:
                await self._announcer.parked([(parked.order_id, parked.version)])
            await one.delivery.ack()
            self._observer.parked(parked.reason)


def _sorted(
    deliveries: Sequence[Delivery], parse: Parse | None
) -> tuple[list[_Task], list[_Hopeless], list[tuple[ReachedBarrier, Delivery]]]:
    """Sorts the deliveries into events to apply, events to park, and barriers."""
    tasks: list[_Task] = []
    hopeless: list[_Hopeless] = []
    barriers: list[tuple[ReachedBarrier, Delivery]] = []
    for delivery in deliveries:
        try:
            if is_barrier(headers := delivery.headers):
                barrier = read_barrier(headers)
                barriers.append((ReachedBarrier(delivery.sequence, delivery.stored_at, barrier), delivery))
            else:
                tasks.append(_Task(delivery, project(read_event(headers, delivery.body, parse))))
        except ProjectionError as error:
            hopeless.append(_Hopeless(delivery, error))
    return tasks, hopeless, barriers


def _settled(
    tasks: Sequence[_Task], outcomes: Sequence[Outcome]
) -> tuple[list[_Task], list[_Hopeless], list[_Task], str]:
    """Returns tasks that are done, that can never be done, and that must be retried, with the first cause to retry."""
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
