"""Runs a notary: waits for the lock, the stream and the servers, appends, signs, and starts again after an outage."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg
import structlog
from nats.aio.client import Client

from audit.metrics import NotaryMetrics
from audit.notary.deciding import Decision
from audit.notary.log_writer import LogWriter
from audit.notary.nats_connection import connected
from audit.notary.signing import CheckpointSigner, LogBroken, require_continuation
from audit.notary.stream_reader import NATS_ERRORS, DeliveryGap, StreamMissing, StreamReader
from audit.notes.keys import SigningKey
from audit.storage.schema import schema_problem
from audit.storage.session import ANSWER_SECONDS, answered_within, open_session
from audit.storage.tree_nodes import MissingNode
from service_runtime.backoff import Backoff
from service_runtime.error_text import in_one_line
from service_runtime.outage_log import OutageLog
from service_runtime.process import StartupRefused

_log = structlog.get_logger(__name__)
#: The key of the advisory lock of the one notary that writes.
LOCK = 0x7461_6E64_656D_0064
#: How long a read waits for messages. Checkpoints are due in between.
READ_SECONDS = 1.0
STANDBY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class NotaryPlan:
    """What one notary works on. `batch_events` is the most messages of one transaction.

    After a batch that is not full it waits `linger_seconds` for more: nobody needs a leaf before the next checkpoint,
    and an event in a batch of one costs five times as much as in a full one. A database without an answer after
    `answer_seconds` counts as broken.
    """

    database_url: str
    nats_url: str
    stream: str
    batch_events: int
    checkpoint_seconds: float
    linger_seconds: float
    answer_seconds: float = ANSWER_SECONDS


class Notary:
    """Writes one log until cancelled. `problem` is why it does not at present; None while it does, or stands by."""

    def __init__(self, plan: NotaryPlan, key: SigningKey, metrics: NotaryMetrics) -> None:
        self._plan, self.metrics = plan, metrics
        self._signer = CheckpointSigner(key, every_seconds=plan.checkpoint_seconds, clock=time.monotonic)
        self.problem: str | None = "starting"

    async def run(self) -> None:
        """Runs sessions until cancelled. Raises StartupRefused when the tables are missing."""
        pauses, outages = Backoff(0.2, 2.0), OutageLog("log paused", "log continues")
        while True:
            try:
                async with (
                    connected(self._plan.nats_url, "tandem audit notary") as client,
                    self._leading_session() as database,
                ):
                    await self._write(client, database, outages)
            except (LogBroken, MissingNode) as broken:
                if self.problem != str(broken):
                    _log.critical("the log is broken", reason=str(broken))
                self.problem = str(broken)
            except (StreamMissing, DeliveryGap, psycopg.Error, *NATS_ERRORS) as error:
                self.problem = in_one_line(error)
                outages.failed(self.problem)
            await asyncio.sleep(pauses.seconds())

    @contextlib.asynccontextmanager
    async def _leading_session(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Yields a database session that leads, after waiting while another notary leads. Raises StartupRefused."""
        connection = await open_session(self._plan.database_url, "tandem-audit-notary")
        async with connection:
            async with answered_within(self._plan.answer_seconds, connection):
                problem = await schema_problem(connection)
            if problem:
                raise StartupRefused(problem)
            while not await self._leads(connection):
                self.problem = None
                await asyncio.sleep(STANDBY_SECONDS)
            yield connection

    async def _leads(self, connection: psycopg.AsyncConnection) -> bool:
        async with answered_within(self._plan.answer_seconds, connection):
            row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])).fetchone()
        return row is not None and bool(row[0])

    async def _write(self, client: Client, connection: psycopg.AsyncConnection, outages: OutageLog) -> None:
        """Appends and signs until an error."""
        async with answered_within(self._plan.answer_seconds, connection):
            log = await LogWriter.open(connection, self._plan.stream)
            await require_continuation(connection, await self._signer.last(connection), log)
            position = await log.position()
        reader = StreamReader(client, self._plan.stream)
        opened = await reader.open(position)
        if opened.lost:
            async with answered_within(self._plan.answer_seconds, connection):
                await log.pass_over(opened.after)
            self.metrics.lost(opened.lost)
            _log.error("messages left the stream before they were read", messages=opened.lost)
        _log.info("writing the log", size=log.size, stream=self._plan.stream)
        while True:
            messages = await reader.batch(self._plan.batch_events, READ_SECONDS)
            async with answered_within(self._plan.answer_seconds, connection):
                if messages:
                    self._tell(await log.append(messages, opened.stream_created_at))
                signed = await self._signer.sign_if_due(connection, log)
            self.metrics.reached(log.size, reader.pending)
            if signed is not None:
                self.metrics.signed(signed)
            self.problem = None
            outages.works()
            if len(messages) < self._plan.batch_events:
                await asyncio.sleep(self._plan.linger_seconds)

    def _tell(self, decision: Decision) -> None:
        self.metrics.appended([leaf.kind.value for _, leaf in decision.leaves], decision.repeated, decision.unchecked)
        for refusal in decision.refusals:
            _log.error("message refused", sequence=refusal.sequence, what=refusal.leaf.name, reason=refusal.reason)
