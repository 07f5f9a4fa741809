"""Leads, and as leader carries events from the source to the sink until told to stop.

    stand by ─lock─> lead ─> session: read the stream's end, claim the stream, resume the source, publish …
       ^                        │ first error: close it, prove the lock, wait, begin the next session
       └────── lock lost, or a higher term in the stream ─┘

A session begins with a barrier of a higher term than the stream has seen. It is fenced like every message, so whoever
writes it is the only one who can go on; what an older session still has in flight is refused from there on.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import structlog

from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor
from relay.events.errors import Closing, DuplicateReported, LeadershipLost, Refused, SessionClosed, SteppedDown
from relay.events.message import MessageBuilder, MessageLimits
from relay.events.source import Source
from relay.events.tail import Tail
from relay.outbox.database import DatabaseConnection
from relay.outbox.database_loss import database_lost
from relay.outbox.leadership import HeldLock, while_leading
from relay.parking.parked_aggregates import ParkedAggregates
from relay.parking.requests import ParkedRequests
from relay.publishing import status as states
from relay.publishing.session import Exceptions, Publishing
from relay.publishing.state import RelayState, StateRow, resumption
from relay.publishing.status import RelayStatus
from relay.stream.sink import JetStreamSession, JetStreamSink
from service_runtime.backoff import Backoff
from service_runtime.outage_log import OutageLog

_log = structlog.get_logger(__name__)

#: Pauses after errors; each session and each leadership begins with the first one.
FIRST_SECONDS, LONGEST_SECONDS = 0.05, 5.0
#: After stepping down for a higher term: leave the other one time, whoever it is.
STEP_DOWN_SECONDS = 2.0
_SLICE_SECONDS = 0.5


class Leadership(Protocol):
    """At most one holder at a time, given up within seconds when the holder stops moving."""

    def lead(self, stop: asyncio.Event) -> contextlib.AbstractAsyncContextManager[HeldLock | None]:
        """Waits for the lock, yields its session, releases it; None when `stop` was set first."""


class Observer(Protocol):
    """What the loop tells, for metrics."""

    def error(self, kind: str, reason: str) -> None:
        """An error of that class happened; `reason` is its sentence."""

    def fenced(self, reason: str) -> None:
        """The stream refused us as not its only writer."""

    def session_begun(self) -> None:
        """A session has claimed the stream."""

    def duplicate(self) -> None:
        """An event was found stored already and is passed over."""


class Wiring(Protocol):
    """Makes the parts that depend on who leads, and with which epochs and term."""

    def source(self, connection: DatabaseConnection) -> Source:
        """A source over the leader's connection."""

    def cursor(self, text: str | None) -> Cursor:
        """Where to go on, given the stream's last cursor; Refused when that is impossible."""

    def requests(self, connection: DatabaseConnection) -> ParkedRequests | None:
        """Requests about parked aggregates, if they are to be carried out."""

    def messages(self, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """Builds events."""

    def barriers(self, publish_epoch: int, term: int) -> BarrierBuilder:
        """Builds barriers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a loop that was told to stop ended.

    `cursor`: everything up to it is acknowledged, as the session knew that published when the stop came; None when none
    did. `cause`: the error that the loop was waiting out instead, if there was one.
    """

    cursor: str | None = None
    cause: Exception | None = None


class PublishLoop:
    """Runs until stopped. Outages never end it; a refusal before it has ever worked does."""

    def __init__(
        self,
        *,
        leadership: Leadership,
        sink: JetStreamSink,
        wiring: Wiring,
        state: RelayState,
        parked: ParkedAggregates,
        status: RelayStatus,
        observer: Observer,
    ) -> None:
        self._leadership = leadership
        self._sink = sink
        self._wiring = wiring
        self._state = state
        self._parked = parked
        self._status = status
        self._observer = observer
        self._outages = OutageLog("relay stopped publishing", "relay can publish again")
        self._sink_seen = False
        self._worked = False

    async def run(self, stop: asyncio.Event) -> Ended:
        """Leads whenever it can, until `stop` is set. Refused when database or stream are unfit from the start."""
        # What is refused may show only after this relay leads, so leading does not begin those waits anew.
        backoff, after_refusals, ended = _backoff(), _backoff(), Ended()
        while not stop.is_set():
            self._status.moved()
            try:
                await self._look_at_sink()
                async with self._leadership.lead(stop) as leader:
                    if leader is None:
                        break
                    backoff.reset()
                    self._status.leader = True
                    ended = await self._lead(leader, stop)
            except Refused as refusal:
                if not self._worked and refusal.state == Refused.state:
                    raise
                ended = self._failed(refusal.state, "refused", str(refusal), refusal)
                await self._sleep(stop, after_refusals.seconds())
            except SteppedDown as fenced:
                ended = self._failed(states.RETRYING, "fenced", str(fenced), fenced)
                await self._sleep(stop, STEP_DOWN_SECONDS)
            except LeadershipLost as lost:
                ended = self._failed(states.RETRYING, "database", str(lost), lost)
                await self._sleep(stop, backoff.seconds())
            except SessionClosed as unreachable:
                ended = self._failed(states.RETRYING, "nats", unreachable.reason, unreachable)
                await self._sleep(stop, backoff.seconds())
            finally:
                self._status.stepped_back()
        self._status.state = states.STOPPED
        return ended

    async def _look_at_sink(self) -> None:
        """Once, before standing by: a stream that cannot be used is told at start, not when the leader dies."""
        if not self._sink_seen:
            async with self._sink.session():
                self._sink_seen = True

    async def _lead(self, leader: HeldLock, stop: asyncio.Event) -> Ended:
        """What belongs to one leadership: a source over its connection."""
        source = self._wiring.source(leader.connection)
        try:
            return await self._sessions(leader, source, stop)
        finally:
            await source.close()

    async def _sessions(self, leader: HeldLock, source: Source, stop: asyncio.Event) -> Ended:
        """Session after session, as long as the lock is ours."""
        backoff, exceptions, term, ended = _backoff(), Exceptions(), 0, Ended()
        while not stop.is_set():
            self._status.moved()
            cause: SessionClosed
            try:
                async with contextlib.AsyncExitStack() as ends:
                    session = await while_leading(leader, ends.enter_async_context(self._sink.session()))
                    if session.tail.term > term > 0:
                        raise SteppedDown(
                            f"the stream has term {session.tail.term}, ours is {term}: another relay leads"
                        )
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
        leader: HeldLock,
        session: JetStreamSession,
        source: Source,
        term: int,
        exceptions: Exceptions,
        stop: asyncio.Event,
    ) -> str | None:
        """One session, until `stop` is set; the cursor up to which the stream has acknowledged everything."""
        self._status.state = states.RESUMING
        tail = session.tail
        resume = resumption(await self._state.load(leader.connection), tail)
        if resume.loss is not None:
            self._status.loss = f"{resume.loss}; going on from what it has, as publish epoch {resume.publish_epoch}"
            _log.error("loss in the stream", loss=resume.loss, publish_epoch=resume.publish_epoch)
        cursor = self._wiring.cursor(resume.cursor)
        await self._state.save(
            leader.connection, StateRow(tail.created, resume.publish_epoch, tail.last_sequence, resume.cursor)
        )
        await self._parked.load(leader.connection)
        self._status.parked_aggregates = len(self._parked)
        publishing = Publishing(
            session=session,
            leader=leader,
            source=source,
            messages=self._wiring.messages(resume.publish_epoch, term, session.limits),
            barriers=self._wiring.barriers(resume.publish_epoch, term),
            parked=self._parked,
            exceptions=exceptions,
            state=self._state,
            publish_epoch=resume.publish_epoch,
            status=self._status,
            requests=self._wiring.requests(leader.connection),
        )
        # First the stream: while it takes nothing, the database need not begin to decode anew each time.
        await publishing.claim(cursor)
        await source.resume(cursor)
        self._begun(term, resume.publish_epoch, cursor, tail)
        try:
            self._status.own_lag = publishing.own_lag
            await publishing.run(stop)
            return publishing.stored_cursor
        except SessionClosed:
            await publishing.remember()
            raise
        finally:
            publishing.own_lag.over = True

    def _begun(self, term: int, publish_epoch: int, cursor: Cursor, tail: Tail) -> None:
        self._worked = True
        self._observer.session_begun()
        self._status.term = term
        self._status.publish_epoch, self._status.source_epoch = publish_epoch, cursor.epoch
        self._status.state = states.PUBLISHING
        self._outages.works()
        _log.info("publishing", term=term, behind_sequence=tail.last_sequence, cursor=cursor.text[:200])

    async def _learn(
        self, leader: HeldLock, session: JetStreamSession, cause: SessionClosed, exceptions: Exceptions
    ) -> None:
        """Takes from a closed session what the next one must know."""
        message = session.refused_message(cause)
        if message is None or message.position is None:
            return
        if cause.closing is Closing.EVENT:
            exceptions.refused[message.position] = f"refused by the stream: {cause.reason}"
        elif isinstance(cause, DuplicateReported):
            if await while_leading(leader, session.holds(cause.stored_sequence, message)):
                exceptions.stored.add(message.position)
                self._observer.duplicate()
                return
            # The server remembers an id whose message is gone. Under a new publish epoch it takes the event.
            row = await self._state.load(leader.connection)
            if row is not None:
                renewed = StateRow(row.created, row.publish_epoch + 1, row.last_sequence, row.cursor)
                await self._state.save(leader.connection, renewed)

    def _note(self, cause: SessionClosed) -> Ended:
        kind = "nats" if cause.closing is Closing.UNAVAILABLE else cause.closing.value
        return self._failed(states.RETRYING, kind, cause.reason, cause)

    def _failed(self, state: str, kind: str, reason: str, cause: Exception) -> Ended:
        self._status.state = state
        self._outages.failed(reason, state=state, kind=kind)
        self._status.failed(reason)
        self._observer.fenced(reason) if kind == "fenced" else self._observer.error(kind, reason)
        return Ended(cause=cause)

    async def _wait(self, leader: HeldLock, stop: asyncio.Event, seconds: float) -> None:
        """Waits without losing the lock."""
        while seconds > 0 and not stop.is_set():
            await self._sleep(stop, min(seconds, _SLICE_SECONDS))
            seconds -= _SLICE_SECONDS
            await leader.touch()
            self._status.moved()

    @staticmethod
    async def _sleep(stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def _backoff() -> Backoff:
    return Backoff(FIRST_SECONDS, LONGEST_SECONDS)
