"""Assembles notary and witness from their settings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import psycopg
import structlog
from prometheus_client import CollectorRegistry

from audit.config import NOTARY_PROBES, WITNESS_PROBES, AuditSettings, require
from audit.metrics import NotaryMetrics, WitnessMetrics
from audit.notary.notary import Notary, NotaryPlan
from audit.notary.witness_client import WitnessClient
from audit.notary.witnessing import Witnessing
from audit.notes.key_files import ensure_signing_key, named_key, read_signing_key
from audit.notes.keys import Kind, SigningKey, UnfitKey, signing_key
from audit.storage import schema
from audit.witness.memory import WitnessMemory
from audit.witness.server import WitnessServer
from service_runtime.error_text import in_one_line
from service_runtime.probes import Check, ProbeServer
from service_runtime.process import StartupRefused, cancel, first_of, leave_out_of_collections
from service_runtime.side_tasks import side_tasks
from service_runtime.waiting import wait_until_fine

_log = structlog.get_logger(__name__)


async def notary(settings: AuditSettings, stop: asyncio.Event) -> None:
    """Writes the log until `stop` is set. Waits for a database or NATS that is down.

    Raises StartupRefused when the tables or the key are missing.
    """
    require(settings, "the notary", "database_url", "nats_url")
    key = _log_key(settings)
    metrics = NotaryMetrics()
    plan = NotaryPlan(
        settings.database_url.get_secret_value(),
        settings.nats_url.get_secret_value(),
        settings.stream,
        settings.batch_events,
        settings.checkpoint_seconds,
        settings.linger_seconds,
    )
    writing = Notary(plan, key, metrics)
    witnessing = _witnessing(settings, metrics)
    metrics.watch("audit_paused", "1 while no leaves are appended.", lambda: float(writing.problem is not None))
    metrics.watch(
        "audit_witness_refuses",
        "1 while the witness refuses the log.",
        lambda: float(witnessing is not None and witnessing.problem is not None),
    )

    def reason() -> str | None:
        return writing.problem or (witnessing.problem if witnessing is not None else None)

    async with _probes(settings.probes_listen or NOTARY_PROBES, reason, metrics.registry) as probes_address:
        _log.info("listening", probes=probes_address, origin=settings.origin)
        leave_out_of_collections()
        working = asyncio.create_task(writing.run())
        async with side_tasks({"witness": witnessing.run} if witnessing is not None else {}, metrics.failed):
            try:
                await first_of(stop, working)
                _log.info("stopping")
            finally:
                with contextlib.suppress(Exception):  # its error was raised by first_of
                    await cancel(working)
    _log.info("stopped")


async def witness(settings: AuditSettings, stop: asyncio.Event) -> None:
    """Serves a witness until `stop` is set. Makes its key at the first start. Raises StartupRefused."""
    require(settings, "the witness", "witness_directory", "log_key")
    assert settings.witness_directory is not None
    metrics = WitnessMetrics()
    try:
        memory = WitnessMemory(settings.witness_directory)
        key = ensure_signing_key(memory.key_file, settings.witness_name, Kind.COSIGNATURE)
        log_key = named_key(settings.log_key, Kind.NOTE)
    except OSError as error:
        raise StartupRefused(f"AUDIT_WITNESS_DIRECTORY: {settings.witness_directory}: {error.strerror}") from None
    except UnfitKey as unfit:
        raise StartupRefused(f"a key for the witness is not right: {unfit}; see AUDIT_LOG_KEY") from None
    server = WitnessServer(memory, key, log_key, now=time.time, on_signed=metrics.signed, on_refused=metrics.refused)
    metrics.signed(memory.last.size if memory.last is not None else 0)
    async with _probes(settings.probes_listen or WITNESS_PROBES, lambda: None, metrics.registry) as probes_address:
        address = await server.start(settings.witness_listen)
        _log.info("listening", address=address, probes=probes_address, key=key.verification.text)
        leave_out_of_collections()
        try:
            await stop.wait()
        finally:
            await server.stop()
    _log.info("stopped")


async def migrate(settings: AuditSettings) -> str:
    """Makes the tables, and a missing signing key. Returns a text for the operator. Raises StartupRefused."""
    require(settings, "migrate", "database_url")
    before, after = await schema.migrate(settings.database_url.get_secret_value())
    done = f"the log's tables {'are up to date' if before == after else 'are set up'}"
    if settings.key_file is None:
        return done
    try:
        key = ensure_signing_key(settings.key_file, settings.origin, Kind.NOTE)
    except UnfitKey as unfit:
        raise StartupRefused(f"AUDIT_KEY_FILE: {unfit}") from None
    return f"{done}; its verification key is {key.verification.text}"


async def await_schema(settings: AuditSettings, stop: asyncio.Event) -> None:
    """Waits until `migrate` has made the tables. Raises StartupRefused when `stop` is set before."""

    require(settings, "await-schema", "database_url")

    async def problem() -> str | None:
        try:
            async with await psycopg.AsyncConnection.connect(
                settings.database_url.get_secret_value(), autocommit=True, connect_timeout=5
            ) as connection:
                return await schema.schema_problem(connection)
        except psycopg.Error as error:
            return in_one_line(error)

    if not await wait_until_fine(problem, stop):
        raise StartupRefused("stopped before the log's tables were made")


def _log_key(settings: AuditSettings) -> SigningKey:
    given = settings.key.get_secret_value()
    try:
        if given:
            key = signing_key(given.strip())
        elif settings.key_file is not None:
            key = read_signing_key(settings.key_file, Kind.NOTE)
        else:
            raise StartupRefused("AUDIT_KEY_FILE is not set; the notary needs it, or AUDIT_KEY")
    except UnfitKey as unfit:
        raise StartupRefused(f"AUDIT_KEY{'' if given else '_FILE'}: {unfit}; `migrate` makes a missing file") from None
    if (key.name, key.kind) != (settings.origin, Kind.NOTE):
        raise StartupRefused(f"AUDIT_ORIGIN is {settings.origin}, and the log's key is of {key.name}")
    return key


def _witnessing(settings: AuditSettings, metrics: NotaryMetrics) -> Witnessing | None:
    if not settings.witness_url:
        return None
    try:
        witness_key = named_key(settings.witness_key, Kind.COSIGNATURE) if settings.witness_key else None
    except UnfitKey as unfit:
        raise StartupRefused(f"AUDIT_WITNESS_KEY: {unfit}") from None
    client = WitnessClient(settings.witness_url, witness_key)
    return Witnessing(settings.database_url.get_secret_value(), client, metrics)


@contextlib.asynccontextmanager
async def _probes(listen: str, ready: Check, registry: CollectorRegistry) -> AsyncIterator[str]:
    probes = ProbeServer(listen, live=lambda: None, ready=ready, registry=registry, setting="AUDIT_PROBES_LISTEN")
    address = await probes.start()
    try:
        yield address
    finally:
        await probes.stop()
