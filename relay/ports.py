"""What meets in the publish loop: a source of events, a sink that stores them, and the right to connect the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from relay.cursor import Cursor
from relay.errors import SessionClosed
from relay.message import Message, MessageLimits
from relay.outbox_event import OutboxEvent
from relay.stream_position import Tail


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A cursor with nothing half delivered. `as_of`: everything committed before that source time (µs since 1970, the
    database's clock) is delivered at this cursor; None when the source cannot tell."""

    cursor: Cursor
    as_of: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in delivery order. `marks[i]` behind `base` is the cursor that stands behind `events[i]`, `before` the one
    that stands before the first.

    `reached` is set when the batch ends on a checkpoint. `more` says that the next read will find rows at once.
    """

    base: str
    before: str
    events: Sequence[OutboxEvent]
    marks: Sequence[str]
    reached: Checkpoint | None
    more: bool


class Source(Protocol):
    """Delivers committed events behind a cursor: none lost, none twice, those of an aggregate in their order."""

    @property
    def mode(self) -> str:
        """How events are found now: wal or poll."""

    async def resume(self, cursor: Cursor) -> None:
        """Goes (back) to `cursor`; what was read behind it before is forgotten."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """The next events, without waiting for any; bytes are exceeded by one event at most."""

    def stored(self, cursor_text: str) -> None:
        """Told that the stream holds everything up to this cursor, so that the source need not keep it."""

    def idle_seconds(self) -> float:
        """How long to wait before the next read, given what the last ones found."""

    def notify(self, wake: Callable[[], None]) -> None:
        """From now on `wake` is called when there is something to read before `idle_seconds` are over."""

    async def close(self) -> None:
        """Gives up what the source holds in the database."""


class PublishSession(Protocol):
    """One fenced run of messages behind the stream's last one. Its first error closes it for good (SessionClosed)."""

    tail: Tail
    limits: MessageLimits

    @property
    def next_sequence(self) -> int:
        """The stream sequence that the next message will have."""

    @property
    def stored_sequence(self) -> int:
        """The last stream sequence that was acknowledged."""

    @property
    def settled(self) -> bool:
        """Whether everything sent has been acknowledged."""

    @property
    def outstanding_bytes(self) -> int:
        """Bytes sent and not acknowledged."""

    def oldest_in_flight(self) -> int | None:
        """The least `recorded_at` (µs) of the events sent and not acknowledged; None when there are none."""

    def room(self) -> tuple[int, int]:
        """(events, bytes) that may be taken in now; (0, 0) when acks must come first."""

    def ready(self, count: int) -> bool:
        """Whether `count` waiting messages, or the first of them, may be sent now."""

    def send(self, messages: Sequence[Message], start: int = 0) -> int:
        """Sends messages from `start` on and returns the index of the first one not sent yet."""

    async def wait(self, seconds: float) -> None:
        """Returns when something was acknowledged or the time is over."""

    async def pause(self, seconds: float) -> None:
        """Returns when the time is over or `wake` is called, whatever is acknowledged meanwhile."""

    def wake(self) -> None:
        """Ends the pause; one that is called between two pauses ends the second at once."""

    def refused_message(self, cause: SessionClosed) -> Message | None:
        """The message that the error belongs to which closed the session."""

    async def holds(self, sequence: int, message: Message) -> bool:
        """Whether the sink really has `message` at `sequence`."""


class Sink(Protocol):
    """Opens publishing sessions."""

    def session(self) -> AbstractAsyncContextManager[PublishSession]:
        """Connects, verifies the stream, reads its last message; Refused when the stream is not as it must be."""


class LeaderSession(Protocol):
    """The one session that holds the leader's lock. As long as its statements succeed, we lead."""

    connection: psycopg.AsyncConnection[Any]

    async def prove(self) -> None:
        """Asks the database whether the lock is still ours; LeadershipLost when not."""

    async def touch(self) -> None:
        """Keeps the session from being taken for dead, if nothing else has spoken on it for a while."""

    def spoke(self) -> None:
        """Told that a statement has succeeded on the session."""


class Leadership(Protocol):
    """At most one holder at a time, given up within seconds when the holder stops moving."""

    def lead(self, stop: asyncio.Event) -> AbstractAsyncContextManager[LeaderSession | None]:
        """Waits for the lock, yields its session, releases it; None when `stop` was set first."""
