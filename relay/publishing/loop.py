"""Waits for the lock and then, as leader, publishes events from the source to the sink until told to stop.

    stand by ─lock─> lead ─> session: read the stream's end, claim the stream, resume the source, publish …
       ^                        │ first error: close it, prove the lock, wait, begin the next session
       └────── lock lost, or a higher term in the stream ─┘

A session begins with a barrier of a higher term than the stream has seen. That barrier is fenced like every message.
Once it is stored, only the session that wrote it can continue: the stream refuses what an older session has in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor
from relay.events.errors import Closing, DuplicateReported, LeadershipLost, Refused, SessionClosed, SteppedDown
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.events.source import Mode, Source
from relay.events.tail import Tail
from relay.outbox.adoption_record import AdoptionRecord
from relay.outbox.database import DatabaseConnection
from relay.outbox.database_loss import database_lost
from relay.outbox.leadership import HeldLock, while_leading
from relay.parking.parked_aggregates import ParkedAggregates
from relay.parking.requests import ParkedRequests
from relay.publishing import status as states
from relay.publishing.session import Exceptions, Publishing, SessionParts
from relay.publishing.state import RelayState, StateRow, resumption
from relay.publishing.status import RelayStatus
from relay.stream.sink import JetStreamSession, JetStreamSink
from service_runtime.backoff import Backoff
from service_runtime.outage_log import OutageLog

_log = structlog.get_logger(__name__)

#: The first and the longest pause after an error. A new leadership, and a session that stored events, begin again with
#: the first.
FIRST_SECONDS, LONGEST_SECONDS = 0.05, 5.0
#: The pause after stepping down for a higher term, so that the other leader has time to work.
STEP_DOWN_SECONDS = 2.0
_SLICE_SECONDS = 0.5


class Leadership(Protocol):
    """A lock with at most one holder. A holder that hangs loses it within seconds."""

    def lead(
        self, stop: asyncio.Event, on_wait: Callable[[Wiring], None]
    ) -> contextlib.AbstractAsyncContextManager[HeldLock[Wiring] | None]:
        """Waits for the lock, yields the session that holds it, and releases it. Yields None if `stop` was set first.

        `on_wait` is called before each attempt to get the lock.
        """


class Observer(Protocol):
    """Receives the reports of the loop, for the metrics and the lag measurement."""

    def standing_by(self, source_epoch: int) -> None:
        """The database is fit and has that source epoch, and this relay tries to get the lock. Reported at each try."""

    def leads(self, source_epoch: int) -> None:
        """This relay holds the lock, and the database has that source epoch."""

    def stepped_back(self) -> None:
        """This relay does not hold the lock (any more)."""

    def error(self, kind: str, cause: Exception) -> None:
        """An error of the class `kind` happened. The text of `cause` describes it in a sentence."""

    def fenced(self, reason: str) -> None:
        """The stream refused a publish because another session has written."""

    def session_begun(self, session: Publishing) -> None:
        """A session has claimed the stream and publishes now. `session` answers questions about its progress."""

    def session_over(self) -> None:
        """That session has ended."""

    def duplicate(self) -> None:
        """An event was found to be in the stream already, and is skipped."""


class Wiring(Protocol):
    """What the check of a leader's database session found. It builds the parts that one leadership needs."""

    @property
    def source_epoch(self) -> int:
        """The epoch that the database records."""

    @property
    def adoption(self) -> AdoptionRecord | None:
        """The last adoption, for the status page."""

    def source(self, connection: DatabaseConnection) -> Source:
        """Returns a source over the leader's connection."""

    def cursor(self, found: Cursor | None, stream_epoch: int) -> Cursor:
        """Returns where to resume after the stream's last cursor (None without one). Raises Refused if it cannot.

        `stream_epoch` is the highest source epoch at the stream's end (`Tail.epoch`).
        """

    def requests(self, connection: DatabaseConnection) -> ParkedRequests | None:
        """Returns the operators' requests about parked aggregates; None if this process does not execute them."""

    def messages(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """Returns the builder for the messages of events after `cursor`."""

    def barriers(self, cursor: Cursor, publish_epoch: int, term: int) -> BarrierBuilder:
        """Returns the builder for the barriers of a session that resumes at `cursor`."""

    def notices(self, cursor: Cursor, publish_epoch: int, term: int, limits: MessageLimits) -> ParkedNotices:
        """Returns the builder for the notices about parked events after `cursor`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a loop ended after it was told to stop.

    If a session was publishing, everything up to `cursor` is acknowledged; None if no session was. `cause` is the error
    after which the loop was waiting; None if it was not.
    """

    cursor: Cursor | None = None
    cause: Exception | None = None


class PublishLoop:
    """Leads and publishes until stopped. An outage never ends it. A refusal ends it only if it has never published."""

    def __init__(
        self,
        *,
        mode: str,
        leadership: Leadership,
        sink: JetStreamSink,
        state: RelayState,
        parked: ParkedAggregates,
        observer: Observer,
    ) -> None:
        #: What pages, probes and metrics show. The loop itself never reads it.
        self.status = RelayStatus(Mode(mode))
        self._leadership = leadership
        self._sink = sink
        self._state = state
        self._parked = parked
        self._observer = observer
        self._outages = OutageLog("relay stopped publishing", "relay can publish again")
        self._sink_seen = False
        self._worked = False

    async def run(self, stop: asyncio.Event) -> Ended:
        """Leads whenever it can, until `stop` is set. Raises Refused if database or stream are unfit from the start."""
        # A refusal may come only after this relay has become leader, so becoming leader does not shorten these pauses.
        backoff, after_refusals, ended = _backoff(), _backoff(), Ended()
        while not stop.is_set():
            self.status.moved()
            try:
                await self._look_at_sink()
                async with self._leadership.lead(stop, self._standing_by) as leader:
                    if leader is None:
                        break
                    backoff.reset()
                    ended = await self._lead(leader, stop)
            except Refused as refusal:
                if not self._worked and refusal.state == Refused.state:
                    raise
                ended = self._failed(refusal.state, "refused", refusal)
                await self._sleep(stop, after_refusals.seconds())
            except SteppedDown as fenced:
                ended = self._failed(states.RETRYING, "fenced", fenced)
                await self._sleep(stop, STEP_DOWN_SECONDS)
            except LeadershipLost as lost:
                ended = self._failed(states.RETRYING, "database", lost)
                await self._sleep(stop, backoff.seconds())
            except SessionClosed as unreachable:
                ended = self._failed(states.RETRYING, "nats", unreachable)
                await self._sleep(stop, backoff.seconds())
            finally:
                self.status.stepped_back()
                self._observer.stepped_back()
        self.status.state = states.STOPPED
        return ended

    async def _look_at_sink(self) -> None:
        """Checks the stream once before standing by, so that an unfit stream is reported at the start."""
        if not self._sink_seen:
            async with self._sink.session():
                self._sink_seen = True

    def _standing_by(self, found: Wiring) -> None:
        self.status.moved()
        self.status.state, self.status.adoption = states.STANDBY, found.adoption
        self._observer.standing_by(found.source_epoch)

    async def _lead(self, leader: HeldLock[Wiring], stop: asyncio.Event) -> Ended:
        """Runs one leadership, with a source that reads over the leader's connection."""
        self.status.leader, self.status.adoption = True, leader.found.adoption
        self._observer.leads(leader.found.source_epoch)
        source = leader.found.source(leader.connection)
        try:
            return await self._sessions(leader, source, stop)
        finally:
            await source.close()

    async def _sessions(self, leader: HeldLock[Wiring], source: Source, stop: asyncio.Event) -> Ended:
        """Runs one session after the other, as long as this relay holds the lock."""
        backoff, exceptions, term, ended = _backoff(), Exceptions(), 0, Ended()
        cause: SessionClosed | None = None
        while not stop.is_set():
            self.status.moved()
            try:
                async with contextlib.AsyncExitStack() as ends:
                    session = await while_leading(leader, ends.enter_async_context(self._sink.session()))
                    if session.tail.term > term > 0 and session.tail.orphan is None:
                        raise SteppedDown(
                            f"the stream has term {session.tail.term}, ours is {term}: another relay leads"
                        )
                    if cause is not None and cause.closing is Closing.FLIGHT and session.tail.foreign:
                        self._observer.fenced(f"{session.tail.foreign} messages of others are after ours in the stream")
                    term = session.tail.term + 1
                    before = session.stored_sequence
                    try:
                        with database_lost():
                            return Ended(await self._publish(leader, session, source, term, exceptions, stop))
                    except SessionClosed as closed:
                        cause = closed
                        if session.stored_sequence > before + 1:
                            backoff.reset()
                        with database_lost():
                            await self._learn(leader, session, closed, exceptions)
            except SessionClosed as closed:
                cause = closed
            ended = self._note(cause)
            await leader.prove()
            await self._wait(leader, stop, backoff.seconds())
        return ended

    async def _publish(
        self,
        leader: HeldLock[Wiring],
        session: JetStreamSession,
        source: Source,
        term: int,
        exceptions: Exceptions,
        stop: asyncio.Event,
    ) -> Cursor | None:
        """Runs one session until `stop` is set. Returns the cursor up to which everything is acknowledged."""
        tail = session.tail
        self.status.state, self.status.stream_sequence = states.RESUMING, tail.last_sequence
        row = await self._state.load(leader.connection)
        resume = resumption(row, tail)
        if resume.loss is not None:
            self.status.loss = f"{resume.loss}; going on from what it has, as publish epoch {resume.publish_epoch}"
            _log.error("loss in the stream", loss=resume.loss, publish_epoch=resume.publish_epoch)
        cursor = leader.found.cursor(resume.cursor, tail.epoch)
        # A session that resumes from the row keeps it: its cursor belongs to the row's sequence, not to the last one.
        if row is None or resume.loss is not None or resume.cursor is not row.cursor:
            await self._state.save(
                leader.connection, StateRow(tail.created, resume.publish_epoch, tail.last_sequence, resume.cursor)
            )
        publishing = Publishing(
            SessionParts(
                session=session,
                leader=leader,
                source=source,
                messages=leader.found.messages(cursor, resume.publish_epoch, term, session.limits),
                barriers=leader.found.barriers(cursor, resume.publish_epoch, term),
                notices=leader.found.notices(cursor, resume.publish_epoch, term, session.limits),
                requests=leader.found.requests(leader.connection),
                parked=self._parked,
                exceptions=exceptions,
                state=self._state,
                publish_epoch=resume.publish_epoch,
                status=self.status,
            )
        )
        source.notify(session.wake)
        # Claim the stream first. While it accepts nothing, the database need not begin to decode the log at each try.
        await publishing.claim(cursor)
        try:
            await source.resume(cursor)
        finally:
            self.status.mode = source.mode
        await self._parked.load(leader.connection)  # an adoption may have changed what is parked
        self._begun(term, resume.publish_epoch, cursor, tail)
        self._observer.session_begun(publishing)
        try:
            await publishing.run(stop)
            return publishing.stored_cursor
        except SessionClosed:
            await publishing.remember()
            raise
        finally:
            self._observer.session_over()

    def _begun(self, term: int, publish_epoch: int, cursor: Cursor, tail: Tail) -> None:
        self._worked = True
        self.status.term = term
        self.status.publish_epoch, self.status.source_epoch = publish_epoch, cursor.epoch
        self.status.state = states.PUBLISHING
        self._outages.works()
        _log.info("publishing", term=term, behind_sequence=tail.last_sequence, cursor=cursor.text[:200])

    async def _learn(
        self, leader: HeldLock[Wiring], session: JetStreamSession, cause: SessionClosed, exceptions: Exceptions
    ) -> None:
        """Records what the next session must know about the error of a closed one."""
        message = session.refused_message(cause)
        if message is None or message.position is None:
            return
        if cause.closing is Closing.EVENT:
            if message.recorded_at is None:
                exceptions.notices.add(message.message_id)
            else:
                exceptions.refused[message.position] = f"refused by the stream: {cause.reason}"
        elif isinstance(cause, DuplicateReported):
            if await while_leading(leader, session.holds(cause.stored_sequence, message)):
                if message.recorded_at is None:
                    exceptions.notices.add(message.message_id)
                else:
                    exceptions.stored.add(message.position)
                    self._observer.duplicate()
                return
            # The server knows the id, but its message is gone. It accepts the event with the id of a new publish epoch.
            row = await self._state.load(leader.connection)
            if row is not None:
                renewed = StateRow(row.created, row.publish_epoch + 1, row.last_sequence, row.cursor)
                await self._state.save(leader.connection, renewed)

    def _note(self, cause: SessionClosed) -> Ended:
        kind = "nats" if cause.closing is Closing.UNAVAILABLE else cause.closing.value
        return self._failed(states.RETRYING, kind, cause)

    def _failed(self, state: str, kind: str, cause: Exception) -> Ended:
        reason = str(cause)
        self.status.state = state
        self._outages.failed(reason, state=state, kind=kind)
        self.status.failed(reason)
        self._observer.fenced(reason) if kind == "fenced" else self._observer.error(kind, cause)
        return Ended(cause=cause)

    async def _wait(self, leader: HeldLock[Wiring], stop: asyncio.Event, seconds: float) -> None:
        """Waits, and keeps the database session alive meanwhile, so that the lock is not lost."""
        while seconds > 0 and not stop.is_set():
            await self._sleep(stop, min(seconds, _SLICE_SECONDS))
            seconds -= _SLICE_SECONDS
            await leader.touch()
            self.status.moved()

    @staticmethod
    async def _sleep(stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def _backoff() -> Backoff:
    return Backoff(FIRST_SECONDS, LONGEST_SECONDS)
