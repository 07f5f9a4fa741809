"""Publishes a replay's rows in one session of its stream, fenced from the session's first message on.

Each message carries the cursor `<epoch>;poll;;<snapshot>;<position>`, so the stream itself says how far the replay is.
A session begins with a barrier of a higher term, which also carries the request. The last message is a barrier at the
cursor `<epoch>;poll;;<snapshot>;end`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay.config import RelaySettings
from relay.events.barrier import BarrierBuilder
from relay.events.cursor import PollCursor, anchored, stands_in_barriers
from relay.events.errors import Closing, Refused, SessionClosed, Unpublishable
from relay.events.event import OutboxEvent
from relay.events.header_value import decode, encode
from relay.events.message import TERM_HEADER, Message
from relay.events.snapshot import Snapshot
from relay.outbox.message_builder import message_builder, parked_notices
from relay.replaying.pace import Pace, Progress
from relay.replaying.selection import Chunk, Selection
from relay.stream.setup import NANOSECONDS
from relay.stream.sink import JetStreamSession

#: On each barrier of a replay: the request, so that another request does not go on from its cursor.
REPLAY_HEADER = "Tandem-Replay"
READ_EVENTS, READ_BYTES = 1_000, 4 << 20
#: The longest time for one read.
READ_SECONDS = 120.0
_SLICE_SECONDS = 0.5
#: How long the session waits for outstanding acks when it is to end.
SETTLE_SECONDS = 30.0


@dataclass(slots=True)
class RefusedEvents:
    """What the stream has refused: the reasons of events by position, and the message ids of notices."""

    events: dict[int, str] = field(default_factory=dict)
    notices: set[bytes] = field(default_factory=set)

    def learn(self, message: Message | None, reason: str) -> None:
        """Records a message that the stream will never accept."""
        if message is None or message.position is None:
            return
        if message.recorded_at is None:
            self.notices.add(message.message_id.partition(b":")[2])
        else:
            self.events[message.position] = f"refused by the stream: {reason}"

    def accepts(self, notice: Message) -> bool:
        """Returns whether the stream has not refused that notice in an earlier session."""
        return notice.message_id.partition(b":")[2] not in self.notices


async def resume_at(session: JetStreamSession, barrier_subject: str, identity: str, epoch: int) -> PollCursor | None:
    """Returns the cursor from which the replay goes on; None if the stream is empty.

    Raises Refused if the stream holds anything but an earlier part of the same replay of the same source.
    """
    tail, name = session.tail, session.stream.config["name"]
    if tail.messages == 0:
        return None
    barrier = await session.last(barrier_subject)
    text = decode(barrier.headers.get(REPLAY_HEADER, "")) if barrier is not None else ""
    if not text or not isinstance(tail.cursor, PollCursor):
        raise Refused(f"stream {name} holds messages that are not of this replay: name an empty or a new stream")
    if text != identity:
        raise Refused(
            f"stream {name} holds the replay {text}, this one is {identity}: repeat the command with the same --from,"
            " --until and --filter, or name another stream"
        )
    if tail.cursor.epoch != epoch:
        raise Refused(
            f"stream {name} holds a replay of source epoch {tail.cursor.epoch}, the database is of {epoch}:"
            " name another stream"
        )
    if tail.foreign:
        raise Refused(f"somebody else has published into the stream {name}: name an empty or a new stream")
    return tail.cursor


async def require_beginning(session: JetStreamSession) -> None:
    """Raises Refused if the stream no longer has the message with which the replay began."""
    first, config = await session.first(), session.stream.config
    if first is None or REPLAY_HEADER not in first.headers or first.headers.get(TERM_HEADER) != "1":
        seconds = config.get("max_age", 0) // NANOSECONDS
        raise Refused(
            f"stream {config['name']} has lost its first messages, because it keeps them for {seconds:,} s only: if no"
            " consumer has read them, delete the stream and repeat the command with a larger --max-age"
        )


class ReplaySession:
    """Publishes rows after `cursor` over one session, until the end or its first error."""

    def __init__(
        self,
        session: JetStreamSession,
        settings: RelaySettings,
        selection: Selection,
        cursor: PollCursor,
        *,
        identity: str,
        refused: RefusedEvents,
        pace: Pace,
        progress: Progress,
        tell: Callable[[Progress], None],
    ) -> None:
        assert cursor.upto is not None
        self._session = session
        self._selection = selection
        self._cursor = cursor
        self._upto: Snapshot = cursor.upto
        self._refused = refused
        self._pace = pace
        self._progress = progress
        self._tell = tell
        #: The term is also the publish epoch. So a message id is new in each session, and only the fence decides.
        self.term = session.tail.term + 1
        epoch, limits = cursor.epoch, session.limits
        self._messages = message_builder(settings, selection.table, epoch, self.term, self.term, limits)
        self._notices = parked_notices(settings, epoch, self.term, self.term, limits)
        lines = f"{REPLAY_HEADER}: {encode(identity)}\r\n"
        self._barriers = BarrierBuilder(settings.barrier_subject, publish_epoch=self.term, term=self.term, lines=lines)
        self._base = cursor.base
        self.claimed = False

    async def run(self, stop: asyncio.Event) -> bool:
        """Publishes until the end or until `stop` is set. Returns whether the replay is complete.

        Raises SessionClosed at the session's first error.
        """
        claim = self._session.next_sequence
        await self._send([self._barriers.barrier(self._cursor, None)])
        await self._settle()
        self.claimed = True
        if stands_in_barriers(self._cursor, self._base):
            self._base = anchored(claim)
        after, end = self._cursor.position, False
        while not (stop.is_set() or end):
            async with asyncio.timeout(READ_SECONDS):
                chunk = await self._selection.read(self._upto, after, self._pace.most(READ_EVENTS), READ_BYTES)
            for messages in self._pace.parts(self._build(chunk)):
                await self._send(messages)
                self._pace.sent(len(messages), time.monotonic())
                await self._rest(stop)
            after, end = chunk.reached, chunk.end
            self._progress.position = after
            self._tell(self._progress)
        if end:
            await self._send([self._barriers.barrier(PollCursor(self._cursor.epoch, self._upto), None)])
        await self._settle()
        return end

    def _build(self, chunk: Chunk) -> list[Message]:
        return [message for event in chunk.events if (message := self._message(event, chunk)) is not None]

    def _message(self, event: OutboxEvent, chunk: Chunk) -> Message | None:
        """Returns the message of the event, or a notice in its place. Returns None if the stream accepts neither."""
        at = str(event.position)
        reason = chunk.parked.get(event.position) or self._refused.events.get(event.position)
        if reason is None:
            try:
                return self._messages.event(event, self._base, at)
            except Unpublishable as unpublishable:
                reason = str(unpublishable)
        notice = self._notices.parked(event, self._base, at, reason)
        return notice if notice is not None and self._refused.accepts(notice) else None

    async def _send(self, messages: Sequence[Message]) -> None:
        sent = 0
        while sent < len(messages):
            before, sent = sent, self._session.send(messages, sent)
            if sent == before:
                await self._session.wait(_SLICE_SECONDS)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Waits as the rate demands, and at least lets acks be read."""
        await asyncio.sleep(0)
        while (seconds := self._pace.seconds(time.monotonic())) > 0 and not stop.is_set():
            await self._session.pause(min(seconds, _SLICE_SECONDS))

    async def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._session.settled and time.monotonic() < deadline:
            await self._session.wait(_SLICE_SECONDS)
        if not self._session.settled:
            raise SessionClosed(Closing.UNAVAILABLE, f"no acks for {SETTLE_SECONDS:g} s")
