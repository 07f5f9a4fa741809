"""Builds the listener for exports: a server of its own, with a pool, limits and a pace of its own.

So an operator can close its address to callers, and an export takes neither a connection nor a place from a command.
"""

from __future__ import annotations

from collections.abc import Callable

from command_service.application.exporting.commands_first import CommandsFirst
from command_service.application.exporting.pace import Pace
from command_service.config import CommandSettings
from command_service.handlers import order_exports
from command_service.handlers.call_terms import export_terms
from command_service.metrics import CommandMetrics
from command_service.storage.exports.pool import export_pool
from command_service.storage.exports.snapshots import PostgresSnapshots
from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer
from service_runtime.edge.service_methods import service_methods

SERVICES = (order_exports.SERVICE.full_name,)
#: An export may run for this long before its caller must resume it on a new connection.
CONNECTION_SECONDS = 3600.0
#: How long the database may stay silent in addition to the time limit of a statement.
SILENCE_SECONDS = 5.0


class ExportListener:
    """The exports of one process.

    `commands` gives them their turns, and `available` returns whether the database accepts commands.
    """

    def __init__(
        self,
        settings: CommandSettings,
        metrics: CommandMetrics,
        commands: CommandsFirst,
        available: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._pool = export_pool(
            settings.database_url.get_secret_value(),
            size=settings.export_pool_size,
            max_waiting=settings.export_max_calls,
            statement_seconds=settings.export_deadline_seconds,
        )
        snapshots = PostgresSnapshots(
            self._pool,
            pause=commands.pause,
            available=available,
            answer_seconds=settings.export_deadline_seconds + SILENCE_SECONDS,
        )
        self._exports = order_exports.OrderExports(
            snapshots, Pace(settings.export_orders_per_second), commands, metrics, at_once=settings.export_max_calls
        )
        metrics.watch("command_running_exports", "Exports that run now.", lambda: self._exports.running)
        self._server = _server(settings)
        terms = export_terms(metrics.call, settings.export_deadline_seconds)
        self._server.add(service_methods(order_exports.SERVICE, self._exports.behaviours(), terms))

    async def start(self) -> str:
        """Listens and returns the address. Raises StartupRefused if it is taken."""
        await self._pool.open()
        return await self._server.start()

    async def stop(self) -> None:
        """Ends each export after its current page, or after the grace period."""
        self._exports.stop()
        await self._server.stop()
        await self._pool.close()

    async def set_available(self, available: bool) -> None:
        """Sets the health, and breaks what waits for a database that is known to be down."""
        if not available:
            self._pool.hang_up()
        await self._server.set_serving(available)


def _server(settings: CommandSettings) -> GrpcServer:
    return GrpcServer(
        settings.export_listen,
        GrpcLimits(
            max_concurrent_rpcs=settings.export_max_calls,
            max_connections=settings.max_connections,
            max_connection_age_seconds=CONNECTION_SECONDS,
            # A page may be four times as large as a request, so that the largest event fits.
            max_message_bytes=max(settings.max_message_bytes, settings.max_event_bytes),
            shutdown_grace_seconds=settings.shutdown_grace_seconds,
        ),
        services=SERVICES,
        reflect=settings.reflection,
        setting="COMMAND_EXPORT_LISTEN",
    )
