"""Builds a relay process from its settings, and runs it."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from relay.config import RelaySettings
from relay.events.errors import Refused, SourceChanged
from relay.lag.observer import LagObserver
from relay.lag.own_lag import OwnLag
from relay.leadership_parts import LeadershipCheck
from relay.metrics import RelayMetrics
from relay.outbox.leadership import AdvisoryLock
from relay.outbox.table import TableName
from relay.parking.parked_aggregates import ParkedAggregates
from relay.publishing.loop import PublishLoop
from relay.publishing.session import Publishing
from relay.publishing.state import RelayState
from relay.stream.access import nats_options, stream_sink
from relay.stream.publish_window import Flight
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused, leave_out_of_collections
from service_runtime.side_tasks import side_tasks

_log = structlog.get_logger(__name__)


class MetricsObserver:
    """Passes the reports of the publish loop to the metrics and to the leader's knowledge of its lag (`OwnLag`)."""

    def __init__(self, metrics: RelayMetrics, own: OwnLag) -> None:
        self._metrics = metrics
        self._own = own

    def standing_by(self, source_epoch: int) -> None:
        """Records the source epoch of the database."""
        self._own.database_checked(source_epoch)

    def leads(self, source_epoch: int) -> None:
        """Records that this relay leads, and the source epoch of the database."""
        self._own.database_checked(source_epoch)
        self._own.leads()

    def stepped_back(self) -> None:
        """Records that this relay does not lead."""
        self._own.stepped_back()

    def error(self, kind: str, cause: Exception) -> None:
        """Counts an error by its kind. Records if the source has changed."""
        self._metrics.errors.labels(kind).inc()
        if isinstance(cause, SourceChanged):
            self._own.source_changed()

    def fenced(self, reason: str) -> None:
        """Counts a publish that the stream refused because another session had written."""
        self._metrics.fenced.inc()

    def session_begun(self, session: Publishing) -> None:
        """Counts a session. From now on, the lag is also derived from what the session knows."""
        self._metrics.sessions.inc()
        self._own.session_begun(session)

    def session_over(self) -> None:
        """Records that the session publishes nothing more."""
        self._own.session_over()

    def duplicate(self) -> None:
        """Counts an event that the stream had already stored."""
        self._metrics.published.labels("duplicate").inc()


class Relay:
    """One relay process: the publish loop, the lag observer, the probes and the metrics."""

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        name, own = TableName.parse(settings.table), OwnLag()
        self.metrics = RelayMetrics()
        self.lag = LagObserver(
            database_url=settings.database_url,
            table=name,
            columns=settings.columns,
            nats=nats_options(settings),
            stream=settings.stream,
            own=own,
            on_error=self.metrics.errors.labels("lag").inc,
        )
        lock = AdvisoryLock(
            settings.database_url,
            table=str(name),
            stream=settings.stream,
            check=LeadershipCheck(settings).check,
        )
        self._loop = PublishLoop(
            mode=settings.mode,
            leadership=lock,
            sink=stream_sink(settings, self._stored),
            state=RelayState(name, settings.stream),
            parked=ParkedAggregates(name),
            observer=MetricsObserver(self.metrics, own),
        )
        self.status = self._loop.status
        self.metrics.show(self.status, self.lag)

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes and serves probes until `stop` is set. Raises StartupRefused if database or stream is unfit."""
        probes = ProbeServer(
            self.settings.probes_listen,
            live=self.status.live,
            ready=self.status.ready,
            registry=self.metrics.registry,
            pages={"/lagz": self._page},
            setting="RELAY_PROBES_LISTEN",
        )
        _log.info("listening", address=await probes.start())
        leave_out_of_collections()
        try:
            async with side_tasks({"lag": self.lag.run}, lambda name: self.metrics.errors.labels(name).inc()):
                await self._loop.run(stop)
        except Refused as refusal:
            raise StartupRefused(str(refusal)) from None
        finally:
            await probes.stop()
            _log.info("stopped", stream_sequence=self.status.stream_sequence)

    def _page(self) -> dict[str, Any]:
        page = self.status.page() | self.lag.page()
        return page if page["last_error"] is not None else page | self.lag.failure()

    def _stored(self, flight: Flight) -> None:
        """Counts the events of a flight that the stream has stored, and their times from commit to ack."""
        events = [message.recorded_at for message in flight.messages if message.recorded_at is not None]
        if events:
            latest = self.lag.latest
            self.metrics.published.labels("stored").inc(len(events))
            self.metrics.commit_to_ack.observe(events, latest.clock_offset if latest else 0.0)
