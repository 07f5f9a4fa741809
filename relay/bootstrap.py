"""Puts the relay together: settings in, a running process out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import structlog

from relay import status as states
from relay.barrier import BarrierBuilder
from relay.bookkeeping import ensure_tables
from relay.config import RelaySettings
from relay.errors import LogUnavailable, Refused
from relay.jetstream_sink import JetStreamSink, WindowLimits
from relay.lag import LagObserver
from relay.leadership import AdvisoryLock
from relay.message import MessageBuilder, MessageLimits
from relay.metrics import RelayMetrics
from relay.nats_connection import NatsOptions
from relay.outbox_table import OutboxTable, TableName, find_table
from relay.parking import ParkedAggregates
from relay.poll_source import PollSource
from relay.ports import Source
from relay.publication import publication_name
from relay.publish_loop import PublishLoop
from relay.publish_policy import PublishPolicy
from relay.publish_window import Flight
from relay.relay_state import RelayState
from relay.replication_slot import slot_prefix
from relay.slot_creation import check_log
from relay.slot_maker import SlotMaker
from relay.snapshot import Snapshot
from relay.source_identity import SourceIdentity, require_same_source
from relay.startup_checks import check_database
from relay.status import RelayStatus
from relay.stream_history import StreamHistory
from relay.stream_setup import StreamPlan
from relay.subject import SubjectTemplate
from relay.switching_source import SwitchingSource
from relay.tuple_decoder import TupleLayout, find_layout
from relay.wal_source import WalSource
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused, first_of

_log = structlog.get_logger(__name__)


class CheckedDatabase:
    """Checks each new leader session, and makes what depends on what the check has found."""

    def __init__(self, settings: RelaySettings, status: RelayStatus) -> None:
        self._settings = settings
        self._status = status
        self._template = SubjectTemplate(settings.subject_template)
        self._found: tuple[OutboxTable, SourceIdentity] | None = None
        self._layout: TupleLayout | None = None
        self._no_log: str | None = None
        self._source: SwitchingSource | None = None

    async def check(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Refused when this database must not be relayed from."""
        settings = self._settings
        name = TableName.parse(settings.table)
        await check_database(connection, settings.database_url)
        identity = await require_same_source(connection, TableName.parse(settings.source_table))
        table = await find_table(connection, name, settings.columns)
        await ensure_tables(connection, name)
        self._layout = await self._log_layout(connection, name)
        self._found = table, identity

    async def _log_layout(self, connection: psycopg.AsyncConnection[Any], name: TableName) -> TupleLayout | None:
        """How the table's rows stand in the log; None when they are not to be read from there."""
        if self._settings.mode == "poll":
            return None
        try:
            layout = await find_layout(connection, name, self._settings.columns)
            if self._settings.mode == "wal":
                await check_log(connection)
        except LogUnavailable as problem:
            if self._settings.mode == "wal":
                raise Refused(f"RELAY_MODE is wal, but the log cannot be read: {problem}") from None
            self._no_log = str(problem)
            return None
        return layout

    def _mode_is(self, mode: str, reason: str | None) -> None:
        self._status.mode, self._status.mode_reason = mode, reason

    @property
    def source_epoch(self) -> int:
        """The epoch of the database checked last."""
        assert self._found is not None
        return self._found[1].epoch

    def source(self, connection: psycopg.AsyncConnection[Any]) -> Source:
        """The source of the configured mode."""
        assert self._found is not None
        (table, identity), settings = self._found, self._settings
        publication = settings.publication or publication_name(table.name)
        url, prefix = settings.database_url, slot_prefix(str(table.name), settings.stream)
        wal = WalSource(self._layout, connection, url, publication) if self._layout is not None else None
        slots = SlotMaker(url, prefix, publication, table.name, lambda reason: self._mode_is("poll", reason))
        self._source = SwitchingSource(
            poll=PollSource(table, connection, identity.epoch),
            wal=wal,
            slots=slots,
            history=StreamHistory(nats_options(settings), settings.stream),
            on_mode=self._mode_is,
            why=self._no_log,
        )
        return self._source

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """What this relay knows to be stored, as leader."""
        return self._source.covering() if self._source is not None else None

    def messages(self, publish_epoch: int, term: int, limits: MessageLimits) -> MessageBuilder:
        """The builder of events."""
        assert self._found is not None
        return MessageBuilder(
            self._template,
            event_source=self._settings.event_source,
            source_epoch=self.source_epoch,
            publish_epoch=publish_epoch,
            term=term,
            partitions=self._settings.partitions,
            splices_personal=self._found[0].has_personal,
            plain_roles=self._found[0].plain_roles,
            limits=limits,
        )

    def barriers(self, publish_epoch: int, term: int) -> BarrierBuilder:
        """The builder of barriers."""
        return BarrierBuilder(
            self._settings.barrier_subject, source_epoch=self.source_epoch, publish_epoch=publish_epoch, term=term
        )


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

    def error(self, kind: str) -> None:
        """Counts an error."""
        self._metrics.errors.labels(kind).inc()

    def lag_error(self, reason: str) -> None:
        """Counts a failed measurement; it is told only while nothing else is."""
        self._metrics.errors.labels("lag").inc()
        if self._status.last_error is None:
            self._status.failed(reason)

    def fenced(self) -> None:
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
        nats = nats_options(settings)
        database = CheckedDatabase(settings, self.status)
        self.lag = LagObserver(
            database_url=settings.database_url,
            table=name,
            columns=settings.columns,
            nats=nats,
            stream=settings.stream,
            on_error=lambda reason: self._observer.lag_error(reason),
            covering=database.covering,
        )
        self.metrics = RelayMetrics(self.status, self.lag)
        self._observer = MetricsObserver(self.metrics, self.status, self.lag)
        sink = JetStreamSink(
            nats,
            stream_plan(settings),
            PublishPolicy(settings.publish),
            WindowLimits(settings.window_events, settings.window_bytes, settings.ack_timeout_seconds),
            self._observer.stored,
        )
        self._loop = PublishLoop(
            leadership=AdvisoryLock(
                settings.database_url,
                table=str(name),
                stream=settings.stream,
                check=database.check,
                on_wait=self._standing_by,
            ),
            sink=sink,
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
        tasks = [asyncio.create_task(self._loop.run(stop)), asyncio.create_task(self.lag.run(stop))]
        try:
            await first_of(stop, *tasks)
            await tasks[0]
        except Refused as refusal:
            raise StartupRefused(str(refusal)) from None
        finally:
            await _cancel(tasks)
            await probes.stop()
            _log.info("stopped", stream_sequence=self.status.stream_sequence)

    def _standing_by(self) -> None:
        self.status.moved()
        self.status.state = states.STANDBY


def nats_options(settings: RelaySettings) -> NatsOptions:
    """How to reach NATS."""
    return NatsOptions(
        tuple(one.strip() for one in settings.nats_url.split(",")),
        settings.nats_credentials_file,
        settings.nats_ca_file,
        settings.nats_certificate_file,
        settings.nats_key_file,
    )


def stream_plan(settings: RelaySettings) -> StreamPlan:
    """What the stream must be."""
    return StreamPlan(
        settings.stream,
        settings.subject_template,
        settings.barrier_subject,
        settings.stream_max_age_seconds,
        settings.stream_max_bytes,
        settings.create_stream,
    )


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
