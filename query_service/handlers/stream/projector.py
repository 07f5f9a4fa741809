"""Assembles one projector, which waits for store and NATS, checks their set-up, and projects until cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from query_service.application.freshness.view import FreshnessView
from query_service.application.lags.stage_lags import BOUNDS, StageLags
from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import Freshness, ProjectionWriter, StoreIdentity
from query_service.application.projecting.project_events import EventProjector
from query_service.application.rebuilding.machine import Feed
from query_service.config import QuerySettings
from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection
from query_service.handlers.notices.notices import NoticeSender
from query_service.handlers.notices.refresh_duty import RefreshDuty
from query_service.handlers.notices.subjects import NoticeSubjects
from query_service.handlers.stream.consumer import ConsumerPlan, check_consumer
from query_service.handlers.stream.order_events import BulkLimits, OrderEventConsumer
from query_service.handlers.stream.pacer import BackoffPacer
from query_service.handlers.stream.projection_observer import MeteredProjection
from query_service.handlers.stream.working_together import work_together
from query_service.metrics import ProjectMetrics
from service_runtime.error_text import in_one_line

_log = structlog.get_logger(__name__)
#: How often lags are published to serving processes.
LAG_NOTICE_SECONDS = 1.0


class Projector:
    """A projector over one generation of a store. `now` returns microseconds since 1970."""

    def __init__(
        self,
        settings: QuerySettings,
        plan: ConsumerPlan,
        writer: ProjectionWriter,
        feed: Feed,
        metrics: ProjectMetrics,
        now: Callable[[], int],
    ) -> None:
        self._settings, self._plan, self._writer, self._pacer = settings, plan, writer, BackoffPacer("projection")
        self._metrics, self._now = metrics, now
        #: What the generation is; replaced when it has been filled.
        self.feed = feed
        self._lags = StageLags(now)
        metrics.stages(feed.generation, BOUNDS, self._lags.histograms)
        self._consumer: OrderEventConsumer | None = None

    @property
    def paused(self) -> bool:
        """Whether the projector waits for store or stream."""
        return self._pacer.reason is not None

    def reason(self) -> str | None:
        """Returns why the projector does not project; None while it does."""
        if self._pacer.reason is not None:
            return f"paused: {self._pacer.reason}"
        return "starting" if self._consumer is None else self._consumer.pull.problem

    async def work(self, client: NatsConnection) -> None:
        """Waits for store and stream, checks them, and projects until cancelled.

        Raises ReadStoreNotReady and StartupRefused.
        """
        identity, known = await self.known()
        await self.checked(client, identity)
        _log.info("projecting", stream=self._plan.stream, consumer=self._plan.name, generation=identity.generation)
        await self.run(client, identity, known)

    async def known(self) -> tuple[StoreIdentity, Freshness | None]:
        """Waits until the store answers; returns which read model it holds and how fresh. Raises ReadStoreNotReady."""
        while True:
            try:
                known = await self._writer.identity(), await self._writer.freshness()
            except DependencyDown as down:
                await self._pacer.pause(str(down))
            else:
                self._pacer.resume()
                return known

    async def checked(self, client: NatsConnection, identity: StoreIdentity) -> None:
        """Waits until NATS answers, and checks stream and consumer. Raises StartupRefused when they are not set up."""
        while True:
            try:
                await check_consumer(client, self._plan, identity)
            except NATS_ERRORS as error:
                await self._pacer.pause(f"nats: {in_one_line(error)}")
            else:
                self._pacer.resume()
                return

    async def run(self, client: NatsConnection, identity: StoreIdentity, known: Freshness | None) -> None:
        """Projects until cancelled. Raises ReadStoreNotReady; see OrderEventConsumer."""
        subjects = NoticeSubjects(self._plan.stream, self._settings.consumer, self.feed.generation)
        notices = NoticeSender(client, subjects)
        self._consumer = self._order_events(client, notices, identity, known)
        applied = FreshnessView()
        applied.observe(known)
        duty = RefreshDuty(
            client,
            subjects,
            self._writer.refresh,
            self._lags,
            applied,
            self._metrics,
            serving=lambda: self.feed.serving,
            now=self._now,
            clock=time.monotonic,
        )
        await work_together(self._consumer.run(), duty.run(), self._publish_lags(notices))

    async def _publish_lags(self, notices: NoticeSender) -> None:
        while True:
            await asyncio.sleep(LAG_NOTICE_SECONDS)
            await notices.lags(self._lags.unreported())

    def _order_events(
        self, client: NatsConnection, notices: NoticeSender, identity: StoreIdentity, known: Freshness | None
    ) -> OrderEventConsumer:
        settings, metrics = self._settings, self._metrics
        observer = MeteredProjection(metrics, self._lags, self._now)
        projector = EventProjector(
            self._writer, notices, self._pacer, observer, stream=self._plan.stream, now=self._now
        )
        limits = BulkLimits(
            settings.bulk_events, settings.bulk_bytes, settings.bulk_linger_ms / 1000, settings.bulk_concurrency
        )
        return OrderEventConsumer(
            client,
            self._plan,
            projector,
            self._writer,
            notices,
            limits,
            identity=identity,
            known=known,
            tail=self.feed.tail,
            complete=lambda: self.feed.complete,
            on_claim=lambda freshness: metrics.as_of(freshness.generation, freshness.as_of / 1e6),
            on_state=lambda state: metrics.pending(self.feed.generation, state.pending),
            on_batch=metrics.batch,
        )
