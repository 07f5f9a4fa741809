"""Refreshes the index when serving processes ask for it, and at least once a second while events wait for a refresh.

During a rebuild one of two generations answers nobody. Each refresh of it makes a small segment, which must be merged,
and delays the refreshes that readers need. So it is refreshed on request and twice a minute. If it were not, its first
refresh would take long.

Requests arrive by a queue group, so one projector gets each request. It answers when a refresh is done that began after
the request. `refresh_turns` decides which projector refreshes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.stage_lags import StageLags
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Freshness
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.notices.notices import freshness_fields, freshness_of
from query_service.handlers.notices.refresh_turns import LEAST_PAUSE_SECONDS, RefreshTurns
from query_service.handlers.notices.subjects import NoticeSubjects

_log = structlog.get_logger(__name__)
GROUP = "projectors"
REFRESHED, NOT_REFRESHED = b'{"refreshed":true}', b'{"refreshed":false}'
#: How long another projector may take to answer a forwarded request.
FORWARD_SECONDS = 0.25
#: A refresh that takes longer counts as failed.
REFRESH_SECONDS = 5.0
#: How long an applied event waits for a refresh that no process requests, and how often to check for such events.
UNREQUESTED_SECONDS, POLL_SECONDS = 1.0, 0.25
#: The time between two refreshes of a generation that answers nobody.
UNSEEN_SECONDS = 30.0


class RefreshObserver(Protocol):
    """Counts the refreshes, and the requests for them."""

    def refreshed(self, outcome: str, seconds: float) -> None:
        """Counts a refresh that ended after `seconds`. `outcome`: `done` or `failed`."""

    def asked(self, outcome: str) -> None:
        """Counts a request. `outcome`: answered `here`, or forwarded and answered `elsewhere`."""


class RefreshDuty:
    """Does one projector's part in refreshing the index. `applied` says how fresh the applied events are.

    `refresh` makes the store refresh, and raises DependencyDown and ReadStoreNotReady. `serving` returns whether
    the generation answers readers. `now` returns microseconds since 1970, `clock` returns seconds.
    """

    def __init__(
        self,
        client: Client,
        subjects: NoticeSubjects,
        refresh: Callable[[], Awaitable[None]],
        lags: StageLags,
        applied: FreshnessView,
        observer: RefreshObserver,
        *,
        serving: Callable[[], bool] = lambda: True,
        now: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._client, self._subjects, self._store_refresh = client, subjects, refresh
        self._lags, self._applied, self._observer = lags, applied, observer
        self._serving, self._now, self._clock = serving, now, clock
        self._turns = RefreshTurns(secrets.token_hex(8), clock)
        self._coalesced = CoalescedRefresh(self._refresh, clock, least_pause=LEAST_PAUSE_SECONDS)
        self._refreshed_at = clock()
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answers requests, and refreshes for events that wait too long, until cancelled."""
        subscriptions = [
            await self._client.subscribe(self._subjects.refreshed, cb=self._on_refreshed),
            await self._client.subscribe(self._subjects.as_of, cb=self._on_as_of),
            await self._client.subscribe(self._subjects.refresh_by(self._turns.own), cb=self._on_forwarded),
            await self._client.subscribe(self._subjects.refresh, queue=GROUP, cb=self._on_request),
        ]
        served = self._serving()
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                serving = self._serving()
                if serving:
                    # Readers who were moved here have not been told what is searchable.
                    due = not served or self._lags.unsearchable_for() >= UNREQUESTED_SECONDS
                else:
                    self._lags.forget_unsearchable()
                    due = self._clock() - self._refreshed_at >= UNSEEN_SECONDS
                served = serving
                if due:
                    await self.catch_up()
        finally:
            for task in list(self._answering):
                task.cancel()
            for subscription in subscriptions:
                try:
                    await subscription.unsubscribe()
                except NATS_ERRORS:
                    break

    async def catch_up(self) -> bool:
        """Waits for a refresh that begins after the call, here or elsewhere, and returns whether it succeeded."""
        while (other := self._turns.elsewhere) is not None:
            done = await self._forward(other)
            if self._turns.elsewhere == other:
                self._observer.asked("elsewhere")
                return done
        self._observer.asked("here")
        return await self._coalesced.catch_up()

    async def _forward(self, other: str) -> bool:
        """Forwards a request, and returns whether the other projector says that the refresh is done."""
        try:
            answer = await self._client.request(self._subjects.refresh_by(other), b"", timeout=FORWARD_SECONDS)
        except NoRespondersError:
            self._turns.gone(other)
        except NATS_ERRORS:
            self._turns.late(other)
        else:
            return bool(answer.data == REFRESHED)
        return False

    async def _refresh(self) -> bool:
        begun_at, started, applied = self._now(), self._clock(), self._applied.latest
        self._refreshed_at = started
        self._turns.begun(self._turns.own)
        await self._announce(begun_at)
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                await self._store_refresh()
        except (DependencyDown, ReadStoreNotReady, TimeoutError) as error:
            _log.debug("not refreshed", reason=str(error) or "no answer")
            self._observer.refreshed("failed", self._clock() - started)
            return False
        self._lags.refreshed(begun_at)
        self._observer.refreshed("done", self._clock() - started)
        await self._announce(begun_at, done=True, freshness=applied)
        return True

    async def _announce(self, begun_at: int, *, done: bool = False, freshness: Freshness | None = None) -> None:
        """Publishes that a refresh began, or is done and how fresh searches are at least."""
        known = None if freshness is None else freshness_fields(freshness)
        body = {"projector": self._turns.own, "begun_at": begun_at, "done": done, "freshness": known}
        await self._publish(self._subjects.refreshed, orjson.dumps(body))

    async def _publish(self, subject: str, body: bytes) -> None:
        if not self._client.is_connected:
            return
        try:
            await self._client.publish(subject, body)
        except NATS_ERRORS:
            _log.debug("notice lost", subject=subject)

    async def _on_refreshed(self, message: Msg) -> None:
        try:
            body = orjson.loads(message.data)
            projector, begun_at, done = str(body["projector"]), int(body["begun_at"]), bool(body["done"])
        except (ValueError, TypeError, KeyError):
            _log.warning("notice not understood", subject=message.subject)
            return
        if projector == self._turns.own:
            return
        self._refreshed_at = self._clock()
        if done:
            self._lags.refreshed(begun_at)
        else:
            self._turns.begun(projector)
            self._coalesced.begun_elsewhere()

    async def _on_as_of(self, message: Msg) -> None:
        try:
            self._applied.observe(freshness_of(orjson.loads(message.data)))
        except (ValueError, TypeError, KeyError):
            _log.warning("notice not understood", subject=message.subject)

    async def _on_request(self, message: Msg) -> None:
        self._answer(message, self.catch_up())

    async def _on_forwarded(self, message: Msg) -> None:
        # The sender believes that this projector has the turn. Forwarding again could go round in circles.
        self._answer(message, self._coalesced.catch_up())

    def _answer(self, message: Msg, refreshed: Awaitable[bool]) -> None:
        async def answer() -> None:
            body = REFRESHED if await refreshed else NOT_REFRESHED
            await self._publish(message.reply, body)

        task = asyncio.create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
