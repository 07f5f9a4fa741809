"""Shows, retries and discards events that could not be projected, for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from query_service.application.ports.errors import DependencyDown, QueryRefused
from query_service.application.ports.read_store import Applied, Deferred, ParkedEvent, ProjectionWriter, Refused
from query_service.application.projecting.project_events import Announcer
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.project import project
from query_service.projection.stream_event import read_event


class NothingParked(QueryRefused):
    """No parked event has the key."""


class StillNeeded(QueryRefused):
    """The event was not discarded, because its order still lacks it. This requires `--needed-too`."""


class RetryOutcome(StrEnum):
    """The result of retrying a parked event."""

    #: It is applied, and no longer parked.
    APPLIED = "APPLIED"
    #: It still cannot be projected. The reason may have changed.
    STILL_PARKED = "STILL_PARKED"
    #: The stream no longer has the message. Only `tandem rebuild order`, or a rebuild, restores the event.
    MESSAGE_GONE = "MESSAGE_GONE"
    #: The relay has parked the event, so the stream does not have it. The relay's own retry publishes it.
    HELD_BY_RELAY = "HELD_BY_RELAY"


@dataclass(frozen=True, slots=True)
class ParkedEntry:
    """A parked event, and the version of its order in the read model; 0 when the read model has no such order."""

    event: ParkedEvent
    order_version: int

    @property
    def key(self) -> str:
        """The key for the CLI: `ORDER/VERSION`, or `STREAM/SEQUENCE` for a message without an order id."""
        if self.event.order_id is None:
            return f"{self.event.stream}/{self.event.sequence}"
        return f"{self.event.order_id}/{self.event.version}"

    @property
    def healed(self) -> bool:
        """Whether a later version was applied. Then only the order's history lacks the event."""
        return self.order_version >= self.event.version > 0


@dataclass(frozen=True, slots=True)
class Retried:
    """A parked event after a retry, and the retry's outcome."""

    entry: ParkedEntry
    outcome: RetryOutcome


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message in the stream. `stored_at` is in microseconds since 1970."""

    stored_at: int
    headers: Mapping[str, str]
    body: bytes


class StreamMessages(Protocol):
    """Looks up single messages of a stream."""

    async def message(self, stream: str, sequence: int) -> StreamMessage | None:
        """Returns the message with that sequence; None when the stream no longer has it. Raises DependencyDown."""


class ParkedEvents:
    """Lists, retries and discards parked events. `stream` opens what a retry needs: look-ups of messages, and notices.

    `now` returns microseconds since 1970. During a rebuild a retry also writes to the generations that do not answer
    readers; `others` returns their stores. All methods raise DependencyDown and ReadStoreNotReady.
    """

    def __init__(
        self,
        store: ProjectionWriter,
        stream: Callable[[], Awaitable[tuple[StreamMessages, Announcer]]],
        now: Callable[[], int],
        others: Callable[[], Awaitable[Sequence[ProjectionWriter]]] | None = None,
    ) -> None:
        self._store, self._stream, self._now, self._others = store, stream, now, others

    async def everything(self) -> list[ParkedEntry]:
        """Returns all parked events, the one that was parked first at the front."""
        events = sorted(await self._store.parked_events(), key=lambda event: (event.parked_at, event.sequence))
        return await self._entries(events)

    async def show(self, key: str) -> list[ParkedEntry]:
        """Returns the parked events with a key: `ORDER`, `ORDER/VERSION` or `STREAM/SEQUENCE`.

        Raises NothingParked.
        """
        name, _, number = key.partition("/")
        # A message without an order can only be found among all parked events. There should be few.
        events = await self._store.parked(name) or await self._store.parked_events()
        found = [entry for entry in await self._entries(events) if key in (entry.key, entry.event.order_id)]
        if not found:
            raise NothingParked(
                f"{key} names no parked event; `parked list` shows all"
                if number
                else f"nothing of order {key} is parked"
            )
        return found

    async def retry(self, key: str) -> list[Retried]:
        """Projects the events again, with the code of this release and the store's present mapping.

        Raises NothingParked.
        """
        entries = await self.show(key)
        messages, announcer = await self._stream()
        return [await self._retry(entry, messages, announcer) for entry in entries]

    async def discard(self, key: str, *, needed_too: bool = False) -> list[ParkedEntry]:
        """Deletes the records of the events. The order's history will lack them for good. Raises NothingParked.

        Raises StillNeeded for an event that its order still lacks, unless `needed_too`: readers would no longer see
        that the order is incomplete.
        """
        entries = await self.show(key)
        needed = next((entry for entry in entries if not entry.healed), None)
        if needed is not None and needed.event.order_id is not None and not needed_too:
            raise StillNeeded(
                f"no later version has healed {needed.key}: without the parked event readers cannot see that the order"
                " lacks it; to discard it all the same, add --needed-too"
            )
        for entry in entries:
            await self._store.unpark(entry.event)
        return entries

    async def _entries(self, events: Sequence[ParkedEvent]) -> list[ParkedEntry]:
        order_ids = list({event.order_id for event in events if event.order_id is not None})
        versions = {order.order_id: order.version for order in await self._store.orders(order_ids)}
        return [ParkedEntry(event, versions.get(event.order_id or "", 0)) for event in events]

    async def _retry(self, entry: ParkedEntry, messages: StreamMessages, announcer: Announcer) -> Retried:
        if entry.event.reason is Unprojectable.PARKED_BY_RELAY:
            return Retried(entry, RetryOutcome.HELD_BY_RELAY)
        message = await messages.message(entry.event.stream, entry.event.sequence)
        if message is None or message.stored_at != entry.event.stored_at:
            return Retried(entry, RetryOutcome.MESSAGE_GONE)
        try:
            event = project(read_event(message.headers, message.body))
        except ProjectionError as error:
            return await self._parked_again(entry, error.reason, error.detail)
        [outcome] = await self._store.apply([event])
        for other in await self._others() if self._others is not None else ():
            [elsewhere] = await other.apply([event])
            if isinstance(elsewhere, Deferred):
                raise DependencyDown(self._store.dependency, elsewhere.cause)
        match outcome:
            case Applied():
                await self._store.unpark(entry.event)
                await announcer.applied([(event.order_id, event.version)])
                return Retried(entry, RetryOutcome.APPLIED)
            case Refused(reason, detail):
                return await self._parked_again(entry, reason, detail)
            case Deferred(cause):
                raise DependencyDown(self._store.dependency, cause)

    async def _parked_again(self, entry: ParkedEntry, reason: Unprojectable, detail: str) -> Retried:
        event = replace(entry.event, reason=reason, detail=detail, parked_at=self._now())
        await self._store.park(event)
        return Retried(replace(entry, event=event), RetryOutcome.STILL_PARKED)
