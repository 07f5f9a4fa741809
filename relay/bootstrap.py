"""Puts the relay together: settings in, a running process out."""

from __future__ import annotations

import asyncio

import structlog

from relay.checked_database import CheckedDatabase
from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.lag.observer import LagObserver
from relay.metrics import RelayMetrics
from relay.outbox.leadership import AdvisoryLock
from relay.outbox.table import TableName
from relay.parking.parked_aggregates import ParkedAggregates
from relay.publishing import status as states
from relay.publishing.loop import PublishLoop
from relay.publishing.state import RelayState
from relay.publishing.status import RelayStatus
from relay.stream.access import nats_options, stream_sink
from relay.stream.publish_window import Flight
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused, leave_out_of_collections
from service_runtime.side_tasks import side_tasks

_log = structlog.get_logger(__name__)


class MetricsObserver:
    """Turns what loop and sink tell into metrics and status."""

    def __init__(self, metrics: RelayMetrics, status: RelayStatus, lag: LagObserver) -> None:
        self._metrics = metrics
        self._status = status
        self._lag = lag

    def stored(self, flight: Flight) -> None:
        """A flight is in the stream."""
        events = [message.recorded_at for message in flight.messages if message.recorded_at is not None]
        if events:
            latest = self._lag.latest
            self._metrics.published.labels("stored").inc(len(events))
            self._metrics.commit_to_ack.observe(events, latest.clock_offset if latest else 0.0)
        self._status.progressed()

    def error(self, kind: str, reason: str) -> None:
        """Counts an error."""
        self._metrics.errors.labels(kind).inc()

    def lag_error(self, reason: str) -> None:
        """Counts a failed measurement; it is told only while nothing else is."""
        self._metrics.errors.labels("lag").inc()
        if self._status.last_error is None:
            self._status.failed(reason)

    def fenced(self, reason: str) -> None:
        """Counts a fencing."""
        self._metrics.fenced.inc()

    def session_begun(self) -> None:
        """Counts a session."""
        self._metrics.sessions.inc()

    def duplicate(self) -> None:
        """Counts an event that was there already."""
        self._metrics.published.labels("duplicate").inc()


class Relay:
    """One relay process."""

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        self.status = RelayStatus(settings.mode)
        name = TableName.parse(settings.table)
        database = CheckedDatabase(settings, self.status)
        self.lag = LagObserver(
            database_url=settings.database_url,
            table=name,
            columns=settings.columns,
            nats=nats_options(settings),
            stream=settings.stream,
            status=self.status,
            on_error=lambda reason: self._observer.lag_error(reason),
            covering=database.covering,
            comparable=database.comparable,
        )
        self.metrics = RelayMetrics(self.status, self.lag)
        self._observer = MetricsObserver(self.metrics, self.status, self.lag)
        self._loop = PublishLoop(
            leadership=AdvisoryLock(
                settings.database_url,
                table=str(name),
                stream=settings.stream,
                check=database.check,
                on_wait=self._standing_by,
            ),
            sink=stream_sink(settings, self._observer.stored),
            wiring=database,
            state=RelayState(name, settings.stream),
            parked=ParkedAggregates(name),
            status=self.status,
            observer=self._observer,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serves probes and relays until `stop` is set. StartupRefused when database or stream are unfit."""
        probes = ProbeServer(
            self.settings.probes_listen,
            live=self.status.live,
            ready=self.status.ready,
            registry=self.metrics.registry,
            pages={"/lagz": lambda: self.status.page() | self.lag.page()},
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

    def _standing_by(self) -> None:
        self.status.moved()
        self.status.state = states.STANDBY
