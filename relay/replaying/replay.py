"""Runs a replay to its end: one session after the other, each from where the stream's last message says.

Only one replay can publish to a stream at a time. A second one that claims the stream fences the first, which then
ends. A second one that cannot claim it, because the first publishes all the time, ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from relay.config import RelaySettings
from relay.events.cursor import PollCursor
from relay.events.errors import Closing, Refused, SessionClosed
from relay.events.message import Message
from relay.outbox.table import TableName
from relay.replaying.pace import Pace, Progress
from relay.replaying.publishing import RefusedEvents, ReplaySession, require_beginning, resume_at
from relay.replaying.request import ReplayRequest
from relay.replaying.selection import Selection
from relay.stream.access import stream_sink
from relay.stream.publish_window import Flight
from service_runtime.backoff import Backoff
from service_runtime.error_text import in_one_line

#: A replay that has begun gives up if it makes no progress for so long, because database or stream cannot be reached.
PATIENCE_SECONDS = 30.0
#: How often a replay tries to claim a stream into which somebody else publishes.
CLAIM_ATTEMPTS = 5
_FIRST_SECONDS, _LONGEST_SECONDS = 0.05, 2.0
_GO_ON = "when that has ended, repeat the command to go on"


class Unreachable(Exception):  # noqa: N818 - read as the state it names
    """Database or stream cannot be reached, or do not accept anything. The message says which and why."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What one run of a replay has published.

    `complete` says whether the stream has everything now. `events` and `notices` are those of this run; a notice stands
    in the place of an event that is parked or that the stream refuses. `position` is the last one that was looked at.
    """

    stream: str
    complete: bool
    events: int
    notices: int
    position: int
    snapshot: str
    seconds: float


class Replay:
    """Runs one request. `settings` are the relay's, `target` are those of the replay's stream (`replay_settings`).

    `patience_seconds` is how long it waits for database and stream before it has begun.
    """

    def __init__(
        self,
        settings: RelaySettings,
        target: RelaySettings,
        request: ReplayRequest,
        *,
        tell: Callable[[Progress], None] = lambda progress: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._settings = settings
        self._target = target
        self._request = request
        self._identity = request.identity(str(TableName.parse(settings.table)))
        self._tell = tell
        self._patience = patience_seconds
        self._refused = RefusedEvents()
        self._pace = Pace(request.rate)
        self._progress = Progress(time.monotonic())
        self._sink = stream_sink(target, self._stored)
        self._term = 0
        self._claims = 0
        self._snapshot = ""
        self._moved_at = time.monotonic()
        self._begun = False

    async def run(self, stop: asyncio.Event) -> ReplayReport:
        """Publishes until the stream has everything, or `stop` is set.

        Raises Refused if database or stream are unfit or somebody else publishes into the stream, Unreachable if one of
        them cannot be reached for the patience.
        """
        began = self._moved_at = time.monotonic()
        backoff, complete = Backoff(_FIRST_SECONDS, _LONGEST_SECONDS), False
        while not (complete or stop.is_set()):
            before = self._moved_at
            try:
                complete = await self._once(stop)
            except (SessionClosed, psycopg.Error, OSError, TimeoutError) as error:
                reason = self._reason(error)
                if self._moved_at > before:
                    backoff.reset()
                patience = max(self._patience, PATIENCE_SECONDS) if self._begun else self._patience
                if time.monotonic() - self._moved_at > patience:
                    raise Unreachable(reason) from None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), backoff.seconds())
        progress = self._progress
        return ReplayReport(
            self._target.stream, complete, progress.events, progress.notices, progress.position, self._snapshot,
            round(time.monotonic() - began, 3),
        )  # fmt: skip

    async def _once(self, stop: asyncio.Event) -> bool:
        """Runs one session. Returns whether the replay is complete."""
        selection = await Selection.open(self._settings, self._request)
        try:
            async with self._sink.session() as session:
                cursor = await resume_at(session, self._target.barrier_subject, self._identity, selection.source_epoch)
                if session.tail.term > self._term > 0:
                    raise Refused(f"another replay has taken over the stream {self._target.stream}: {_GO_ON}")
                if cursor is None:
                    cursor = PollCursor(selection.source_epoch, None, selection.snapshot)
                self._progress.begins(max(selection.first, cursor.position + 1), selection.last)
                self._snapshot = cursor.base.rpartition(";")[2]
                if cursor.upto is None:
                    await require_beginning(session)
                    self._progress.position = selection.last
                    return True
                publishing = ReplaySession(
                    session,
                    self._target,
                    selection,
                    cursor,
                    identity=self._identity,
                    refused=self._refused,
                    pace=self._pace,
                    progress=self._progress,
                    tell=self._tell,
                )
                try:
                    complete = await publishing.run(stop)
                    if complete:
                        await require_beginning(session)
                    return complete
                except SessionClosed as closed:
                    self._learn(closed, session.refused_message(closed), claimed=publishing.claimed)
                    raise
                finally:
                    self._term = publishing.term
        finally:
            await selection.close()

    def _learn(self, closed: SessionClosed, message: Message | None, *, claimed: bool) -> None:
        """Keeps what the next session must know. Raises Refused if somebody else publishes into the stream."""
        if closed.closing is Closing.EVENT:
            self._refused.learn(message, closed.reason)
        if closed.closing is Closing.FENCED:
            self._claims += 1
            if claimed or self._claims == CLAIM_ATTEMPTS:
                raise Refused(
                    f"another replay, or somebody else, publishes into the stream {self._target.stream}:"
                    f" {closed.reason}; {_GO_ON}"
                )

    def _reason(self, error: Exception) -> str:
        if isinstance(error, SessionClosed):
            return error.reason
        return f"the database {self._settings.database_name} cannot be reached: {in_one_line(error)}"

    def _stored(self, flight: Flight) -> None:
        """Counts what the stream has stored."""
        self._moved_at, self._begun = time.monotonic(), True
        for message in flight.messages:
            if message.position is not None:
                self._progress.events += message.recorded_at is not None
                self._progress.notices += message.recorded_at is None
