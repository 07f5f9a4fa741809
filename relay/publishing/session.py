"""Runs one publishing session: claims the stream, then publishes batches from the source until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.events.barrier import INTERVAL_SECONDS, BarrierBuilder
from relay.events.cursor import Cursor, anchored, stands_in_barriers
from relay.events.errors import Closing, SessionClosed, Unpublishable
from relay.events.message import Message, MessageBuilder
from relay.events.parked_notice import ParkedNotices, retried
from relay.events.snapshot import Snapshot
from relay.events.source import Batch, Checkpoint, Source
from relay.outbox.leadership import HeldLock
from relay.parking.parked_aggregates import ParkedAggregates
from relay.parking.requests import RETRY, ParkedRequests, Request
from relay.publishing.state import RelayState, StateRow
from relay.publishing.status import RelayStatus
from relay.stream.sink import JetStreamSession

READ_EVENTS = 1_000
READ_BYTES = 4 << 20
#: The longest time for one read. It may take long to find the first row of a backlog of many millions.
READ_SECONDS = 120.0
STATE_SECONDS = 5.0
#: How long a stop waits for outstanding acks.
STOP_SECONDS = 5.0
SLICE_SECONDS = 0.5
#: How often the session looks for operators' requests.
REQUESTS_SECONDS = 1.0
#: How old the last barrier may become while events are sent. In a stream that keeps its messages for a short time it is
#: a tenth of that time.
RENEWAL_SECONDS = 30.0


@dataclass(slots=True)
class Exceptions:
    """Positions of events that must not be sent. They are kept from one session to the next.

    `refused` (position → reason) must be parked. `stored` are in the stream already. `notices` are the message ids of
    parked notices that the stream has already, or refuses.
    """

    refused: dict[int, str] = field(default_factory=dict)
    stored: set[int] = field(default_factory=set)
    notices: set[bytes] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.refused or self.stored)


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts of one session.

    `requests` are those about parked aggregates; None if this process does not execute them. The session writes its
    progress to `status`.
    """

    session: JetStreamSession
    leader: HeldLock[Any]
    source: Source
    messages: MessageBuilder
    barriers: BarrierBuilder
    notices: ParkedNotices
    requests: ParkedRequests | None
    parked: ParkedAggregates
    exceptions: Exceptions
    state: RelayState
    publish_epoch: int
    status: RelayStatus


class Publishing:
    """Runs one publishing session. Each object runs only one. The session's first error ends it and is raised."""

    def __init__(self, parts: SessionParts) -> None:
        self._parts = parts
        self._session = parts.session
        self._leader = parts.leader
        self._source = parts.source
        self._parked = parts.parked
        self._exceptions = parts.exceptions
        self._requests_due = 0.0
        #: The base that the last barrier has, and the barrier's sequence. None if messages carry the base themselves.
        self._anchor: tuple[str, int] | None = None
        self._as_of = parts.session.tail.as_of
        #: The time before which every committed event has been read (µs, database clock); None if that is not known.
        self.read_up_to: int | None = None
        #: `recorded_at` of the event that was read last; None before the first one.
        self.last_read: int | None = None
        self._checkpoint: Checkpoint | None = None
        self._barrier_due = 0.0
        self._renewal_seconds = min(RENEWAL_SECONDS, parts.session.max_age_seconds / 10)
        self._renewal_due = 0.0
        self._state_due = 0.0
        #: (stream sequence, cursor) after each group of messages sent, oldest first. Once a later one is stored, the
        #: earlier ones are dropped.
        self._positions: deque[tuple[int, Cursor]] = deque()
        #: The latest cursor whose message the stream has acknowledged; None before the first ack.
        self.stored_cursor: Cursor | None = None

    @property
    def settled(self) -> bool:
        """Whether every sent message has its ack."""
        return self._session.settled

    def oldest_in_flight(self) -> int | None:
        """Returns the least `recorded_at` of the events that have no ack yet; None if there is no such event."""
        return self._session.oldest_in_flight()

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what the stream holds, if the source knows it more exactly than `stored_cursor` says; else None."""
        return self._source.covering()

    async def claim(self, cursor: Cursor) -> None:
        """Publishes the session's first message, a barrier at the present cursor, and waits for its ack."""
        await self._barrier(cursor)
        # The claim barrier carries no new time, so allow the next barrier at once.
        self._barrier_due = 0.0
        await self._settle(READ_SECONDS)
        self._report()

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes events until `stop` is set, then waits for the acks and publishes a last barrier."""
        while not stop.is_set():
            if time.monotonic() >= self._leader.touch_due:
                await self._leader.touch()
            events, size = self._session.window.room()
            if not self._session.settled and (events < READ_EVENTS // 2 or size < READ_BYTES // 4):
                await self._session.wait(SLICE_SECONDS)
                self._parts.status.moved()
                continue
            self._parts.status.moved(2 * READ_SECONDS)
            async with asyncio.timeout(READ_SECONDS):
                batch = await self._source.read(min(READ_EVENTS, events), min(READ_BYTES, size))
            self._leader.spoke()
            self._parts.status.moved()
            await self._carry(batch)
            self._report()
            if time.monotonic() >= self._state_due:
                await self._save_state()
            if self._parts.requests is not None and time.monotonic() >= self._requests_due:
                await self._carry_out(self._parts.requests)
            if not batch.more:
                await self._session.pause(self._source.idle_seconds())
        await self._finish()

    async def remember(self) -> None:
        """Writes to the database, after the session, the last sequence and cursor that the stream has acknowledged.

        If the stream later ends before that sequence, for example after a power cut, the next session detects a loss.
        """
        self._report()
        await self._save_state()

    async def _carry(self, batch: Batch) -> None:
        if batch.events:
            base, opening = self._opened(batch.before, batch.base)
            built: Sequence[Message] | None = None
            if not self._exceptions and not len(self._parked):
                with contextlib.suppress(Unpublishable):
                    build = self._parts.messages.event
                    built = [build(event, base, at) for event, at in zip(batch.events, batch.marks, strict=True)]
            await self._send([*opening, *(built if built is not None else await self._build(batch, base))])
            self._sent_up_to(batch.after)
            self.last_read = batch.events[-1].recorded_at
        self._checkpoint = batch.reached
        if batch.reached is not None:
            if batch.reached.as_of is not None:
                self._as_of = self.read_up_to = batch.reached.as_of
            if time.monotonic() >= self._barrier_due:
                await self._barrier(batch.reached.cursor)

    def _opened(self, cursor: Cursor, base: str) -> tuple[str, Sequence[Message]]:
        """Returns what the messages after `cursor` carry as their base: `base`, which is its base, or a barrier's name.

        Also returns the barrier that must be sent before these messages: if none has this base yet, or if the last one
        is old. So a message ages out of the stream soon after the barrier that it names.
        """
        opening: list[Message] = []
        shared = stands_in_barriers(cursor, base)
        if (shared and (self._anchor is None or self._anchor[0] != base)) or time.monotonic() >= self._renewal_due:
            opening.append(self._new_barrier(cursor))
        return anchored(self._anchor[1]) if shared and self._anchor is not None else base, opening

    async def _build(self, batch: Batch, base: str) -> list[Message]:
        """Builds the messages of a batch, without the events that are already stored.

        Parks the events that cannot be published, and all later events of their aggregates. A notice takes the place
        of each.
        """
        built: list[Message] = []
        for event, at in zip(batch.events, batch.marks, strict=True):
            if event.position in self._exceptions.stored:
                continue
            reason = self._exceptions.refused.get(event.position)
            if reason is None and self._parked.holds(event):
                reason = "an earlier event of its aggregate is parked"
            if reason is None:
                try:
                    built.append(self._parts.messages.event(event, base, at))
                    continue
                except Unpublishable as unpublishable:
                    reason = str(unpublishable)
            # The event is recorded and committed before any message is sent whose cursor is after it.
            reason = await self._parked.park(self._leader.connection, event, reason)
            built += self._sendable([self._parts.notices.parked(event, base, at, reason)])
        return built

    def _sendable(self, notices: Sequence[Message | None]) -> list[Message]:
        """Returns the notices without those that the stream has, or refuses."""
        return [one for one in notices if one is not None and one.message_id not in self._exceptions.notices]

    async def _carry_out(self, requests: ParkedRequests) -> None:
        """Executes the oldest request about parked aggregates. No events are read meanwhile, which keeps the order."""
        request = await requests.first()
        self._leader.spoke()
        if request is None:
            self._requests_due = time.monotonic() + REQUESTS_SECONDS
            return
        await self._settle(READ_SECONDS)
        announced = await requests.begin(request, self._session.stored_sequence)
        if request.action == RETRY:
            await requests.answer(request, await self._retry(requests, request))
        else:
            await self._announce_discard(requests, request, announced)
            await requests.discard(request)
        await self._parked.load(self._leader.connection)

    async def _announce_discard(self, requests: ParkedRequests, request: Request, announced: frozenset[int]) -> None:
        """Publishes that the events of the request will never come, except those that are `announced` already."""
        cursor, after = self._positions[-1][1], -1
        while events := await requests.waiting(request, READ_EVENTS, READ_BYTES, after):
            after = events[-1].position
            base, opening = self._opened(cursor, cursor.base)
            notices = [
                self._parts.notices.discarded(event, base, cursor.mark)
                for event in events
                if event.position not in announced
            ]
            await self._send_all([*opening, *self._sendable(notices)], cursor)

    async def _send_all(self, messages: Sequence[Message], cursor: Cursor) -> None:
        """Sends messages at the present `cursor` and waits until the stream has stored them."""
        if not messages:
            return
        await self._send(messages)
        self._sent_up_to(cursor)
        await self._settle(READ_SECONDS)
        if not self._session.settled:
            raise SessionClosed(Closing.UNAVAILABLE, "no acks for messages about parked events")

    async def _retry(self, requests: ParkedRequests, request: Request) -> str:
        """Publishes the aggregate's parked events with the present cursor, and returns the answer for the operator."""
        count = 0
        # Refusals from before the request do not count, because the operator asked to try these events again.
        refused = {} if request.begun_behind is None else self._exceptions.refused
        cursor = self._positions[-1][1]
        while events := await requests.waiting(request, READ_EVENTS, READ_BYTES):
            done: list[int] = []
            messages: list[Message] = []
            reason = None
            base, opening = self._opened(cursor, cursor.base)
            for event in events:
                reason = refused.get(event.position)
                if reason is None and event.position not in self._exceptions.stored:
                    try:
                        messages.append(retried(self._parts.messages.event(event, base, cursor.mark)))
                    except Unpublishable as unpublishable:
                        reason = str(unpublishable)
                if reason is not None:
                    break
                done.append(event.position)
            await self._send_all([*opening, *messages], cursor)
            await requests.published(done)
            self._leader.spoke()
            count += len(done)
            if reason is not None:
                return f"published {count} events; the next one is refused again: {reason}"
        return f"published {count} events"

    async def _barrier(self, cursor: Cursor) -> None:
        await self._send([self._new_barrier(cursor)])

    def _new_barrier(self, cursor: Cursor) -> Message:
        """Returns a barrier at `cursor`, which must be the next message that is sent."""
        now, base, sequence = time.monotonic(), cursor.base, self._session.next_sequence
        self._barrier_due, self._renewal_due = now + INTERVAL_SECONDS, now + self._renewal_seconds
        self._positions.append((sequence, cursor))
        self._anchor = (base, sequence) if stands_in_barriers(cursor, base) else None
        return self._parts.barriers.barrier(cursor, self._as_of)

    async def _send(self, messages: Sequence[Message]) -> None:
        sent = 0
        while sent < len(messages):
            before, sent = sent, self._session.send(messages, sent)
            if sent == before:
                await self._wait()

    def _sent_up_to(self, cursor: Cursor) -> None:
        self._positions.append((self._session.next_sequence - 1, cursor))

    def _report(self) -> None:
        stored = self._session.stored_sequence
        positions = self._positions
        while len(positions) > 1 and positions[1][0] <= stored:
            positions.popleft()
        if positions and positions[0][0] <= stored and self.stored_cursor is not positions[0][1]:
            self.stored_cursor = positions[0][1]
            self._source.stored(self.stored_cursor)
        self._parts.status.reached(
            self._source.mode,
            stream_sequence=stored,
            cursor=self.stored_cursor,
            inflight_bytes=self._session.outstanding_bytes,
            parked_aggregates=len(self._parked),
        )

    async def _save_state(self) -> None:
        """Writes the sequence and cursor that are acknowledged. Unacknowledged ones would look like a loss later."""
        self._state_due = time.monotonic() + STATE_SECONDS
        stored = self._session.stored_sequence
        if self._positions and self._positions[0][0] <= stored:
            row = StateRow(self._session.tail.created, self._parts.publish_epoch, stored, self._positions[0][1])
            await self._parts.state.save(self._leader.connection, row)
            self._leader.spoke()

    async def _settle(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._session.settled and time.monotonic() < deadline:
            await self._wait()

    async def _wait(self) -> None:
        """Waits up to half a second for acks. It uses the database session meanwhile, so that the lock is not lost."""
        await self._session.wait(SLICE_SECONDS)
        await self._leader.touch()
        self._report()

    async def _finish(self) -> None:
        if self._checkpoint is not None:
            await self._barrier(self._checkpoint.cursor)
        await self._settle(STOP_SECONDS)
        self._report()
        await self._save_state()
