"""Builds the service from settings, storage, application and handlers, and runs it from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import structlog
import uuid_utils
from psycopg_pool import PoolTimeout

from command_service.application.errors import Overloaded
from command_service.application.execution import Execution
from command_service.application.exporting.commands_first import CommandsFirst
from command_service.application.recording import Recorder
from command_service.application.redact_customer import RedactCustomer
from command_service.config import CommandSettings
from command_service.export_listener import ExportListener
from command_service.handlers import order_commands
from command_service.handlers.call_terms import call_terms
from command_service.handlers.order_imports import OrderImports
from command_service.handlers.status import status_of
from command_service.metrics import CommandMetrics
from command_service.storage.availability import DatabaseWatch
from command_service.storage.connection.connections import CommandPool, command_pool
from command_service.storage.housekeeping import Housekeeping
from command_service.storage.startup_checks import check_database, schema_problem
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from command_service.wire.representation import ContractRepresentation
from service_runtime.edge.call_limits import ConcurrencyLimit
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from service_runtime.edge.service_methods import service_methods
from service_runtime.probes import ProbeServer
from service_runtime.process import StartupRefused, leave_out_of_collections
from service_runtime.side_tasks import side_tasks
from service_runtime.waiting import wait_until_fine

#: How long the database may stay silent in addition to the time limit of a statement.
SILENCE_SECONDS = 5.0
_log = structlog.get_logger(__name__)
SERVICES = (order_commands.SERVICE.full_name,)


def random_identity() -> tuple[UUID, bytes]:
    """Returns a new event's id (a UUID of version 7, which rises with time) and its salt of 16 random bytes."""
    return UUID(bytes=uuid_utils.uuid7().bytes), os.urandom(16)


async def serve(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Serves commands until `stop` is set. Raises StartupRefused when it cannot serve as configured."""
    database_url = settings.database_url.get_secret_value()
    await check_database(database_url)
    metrics = CommandMetrics()
    server = _server(settings, metrics)

    async def on_change(available: bool) -> None:
        metrics.database_available(available)
        if available:
            await pool.check_idle()
        else:
            pool.hang_up()
        await server.set_serving(available)
        if exports is not None:
            await exports.set_available(available)

    watch = DatabaseWatch(database_url, on_change)
    metrics.database_available(watch.available)
    async with _opened_pool(settings, database_url, metrics) as pool:
        exports = _exports(settings, metrics, pool, watch)
        imports = _add_services(server, *_use_cases(settings, pool, watch), settings, metrics)
        probes = ProbeServer(
            settings.probes_listen,
            live=lambda: None,
            ready=watch.reason,
            registry=metrics.registry,
            setting="COMMAND_PROBES_LISTEN",
        )
        housekeeping = Housekeeping(pool, retention_hours=settings.replay_retention_hours, on_expired=metrics.expired)
        side = {"availability": watch.run, "housekeeping": housekeeping.run}
        metrics.watch_side_tasks(side)
        async with side_tasks(side, metrics.failed):  # to the end: calls that still run may wait for a silent database
            try:
                address = await server.start()
                export_address = await exports.start() if exports is not None else ""
                await server.set_serving(watch.available)
                if exports is not None:
                    await exports.set_available(watch.available)
                probes_address = await probes.start()  # last, so that readiness means listening
                leave_out_of_collections()
                _log.info("listening", address=address, exports=export_address, probes=probes_address)
                await stop.wait()
                _log.info("stopping")
            finally:
                imports.stop()
                stopping = [server.stop()] if exports is None else [server.stop(), exports.stop()]
                await asyncio.gather(*stopping)
                await _ended(pool, settings.shutdown_grace_seconds)
                await probes.stop()
    _log.info("stopped")


def _use_cases(settings: CommandSettings, pool: CommandPool, watch: DatabaseWatch) -> tuple[Execution, RedactCustomer]:
    units = PostgresUnitsOfWork(
        pool,
        available=lambda: watch.available,
        answering=lambda: watch.answering,
        listener=_log_statements if settings.log_sql else None,
        statement_seconds=settings.deadline_cap_seconds,
        # the server ends a statement at the limit; if no answer comes well after it, the connection is broken
        answer_seconds=settings.deadline_cap_seconds + SILENCE_SECONDS,
    )
    representation = ContractRepresentation(settings.max_event_bytes)
    execution = Execution(units, Recorder(representation, random_identity))
    return execution, RedactCustomer(units, execution, representation)


def _exports(
    settings: CommandSettings, metrics: CommandMetrics, pool: CommandPool, watch: DatabaseWatch
) -> ExportListener | None:
    """Returns the listener for exports, which let the commands that use `pool` go first; None when it is closed."""
    if not settings.export_listen:
        return None
    return ExportListener(settings, metrics, CommandsFirst(pool.resting), lambda: watch.available)


def _add_services(
    server: GrpcServer,
    execution: Execution,
    redact: RedactCustomer,
    settings: CommandSettings,
    metrics: CommandMetrics,
) -> OrderImports:
    imports = OrderImports(
        execution, metrics, streams=settings.max_import_streams, at_once=max(1, settings.pool_size // 2)
    )
    metrics.watch("command_import_unanswered", "Orders of imports not yet answered.", lambda: imports.unanswered)
    commands = order_commands.OrderCommands(execution, redact, imports, metrics)
    terms = call_terms(metrics.call, settings.deadline_cap_seconds)
    server.add(service_methods(order_commands.SERVICE, commands.behaviours(), terms))
    return imports


async def _ended(pool: CommandPool, grace_seconds: float) -> None:
    """Waits up to `grace_seconds` for commits that run on without their callers.

    A commit that the database does not answer must not keep the process from ending. Its outcome stays unknown until
    the caller retries the request.
    """
    try:
        async with asyncio.timeout(grace_seconds):
            await pool.all_ended()
    except TimeoutError:
        _log.warning("stopped without the answer to a commit")


async def await_schema(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Waits for the schema that this version needs. Raises StartupRefused when `stop` is set before."""
    database_url = settings.database_url.get_secret_value()
    if not await wait_until_fine(lambda: schema_problem(database_url), stop):
        raise StartupRefused("stopped before the database had the schema this version needs")


def migrate(settings: CommandSettings) -> tuple[str | None, str]:
    """Migrates the database to the schema that this version needs. Returns the revisions before and after.

    Raises StartupRefused when the database cannot be reached or a table stays locked.
    """
    from command_service.storage import schema  # loads Alembic, a sixth of the time that `serve` needs to start

    return schema.migrate(settings.database_url.get_secret_value())


def _server(settings: CommandSettings, metrics: CommandMetrics) -> GrpcServer:
    limit = ConcurrencyLimit(settings.max_concurrent_rpcs, status_of(Overloaded()))
    metrics.watch("command_running_calls", "Calls that run now.", lambda: limit.running)
    metrics.watch("command_refused_calls", "Calls refused above the limit, since the start.", lambda: limit.refused)
    return GrpcServer(
        settings.listen,
        GrpcLimits(
            max_concurrent_rpcs=settings.max_concurrent_rpcs,
            max_connections=settings.max_connections,
            max_connection_age_seconds=settings.max_connection_age_seconds,
            max_message_bytes=settings.max_message_bytes,
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        ),
        services=SERVICES,
        concurrency=limit,
        reflect=settings.reflection,
        setting="COMMAND_LISTEN",
    )


@contextlib.asynccontextmanager
async def _opened_pool(
    settings: CommandSettings, database_url: str, metrics: CommandMetrics
) -> AsyncIterator[CommandPool]:
    pool = command_pool(
        database_url,
        size=settings.pool_size,
        max_waiting=settings.max_concurrent_rpcs,
        statement_seconds=settings.deadline_cap_seconds,
    )
    metrics.watch("command_pool_waiting", "Calls that wait for a connection.", lambda: pool.waiting)
    try:
        await pool.open(wait=True, timeout=10.0)
    except PoolTimeout:
        await pool.close()
        raise StartupRefused(
            f"the database does not give {settings.pool_size} connections; raise its max_connections or lower"
            " COMMAND_POOL_SIZE"
        ) from None
    async with pool:
        yield pool


def _log_statements(statements: Sequence[str]) -> None:
    _log.info("transaction", statements=statements)
