"""Runs a `grpc.aio` server with limits, health and reflection. When it stops, it lets running calls finish.

It limits concurrent calls, message size, connections, streams per connection, the time in which a connection must begin
to speak HTTP/2, the ping rate, and the age of a connection. Because of the age limit, clients resolve names again and
spread over new replicas. It also ends a request that is sent too slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2

from service_runtime.config import host_and_port
from service_runtime.edge.call_limits import ConcurrencyLimit, LimitedMethods
from service_runtime.edge.caller_gone import log_what_concerns_us
from service_runtime.edge.standard_services import add_standard_services
from service_runtime.free_address import until_free
from service_runtime.process import StartupRefused

#: How many calls gRPC itself admits, as a multiple of the calls that may run.
NET = 50
#: How many calls may wait in gRPC before our code sees them.
PENDING = 20_000


@dataclass(frozen=True)
class GrpcLimits:
    """The limits of one server process. Sizes are in bytes, times in seconds."""

    max_concurrent_rpcs: int = 200
    max_message_bytes: int = 1024 * 1024
    max_connections: int = 4000
    max_streams_per_connection: int = 200
    handshake_seconds: float = 10.0
    max_connection_age_seconds: float = 60.0
    shutdown_grace_seconds: float = 20.0
    #: How long a stream may take. A connection that is too old ends when its streams have ended, or after this time.
    stream_seconds: float = 0.0

    def channel_options(self) -> list[tuple[str, int]]:
        """Returns the server's channel arguments."""
        return [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", 4 * self.max_message_bytes),
            ("grpc.max_allowed_incoming_connections", self.max_connections),
            ("grpc.max_concurrent_streams", self.max_streams_per_connection),
            # With this protection gRPC would also count calls that are answered but not yet released here. It would
            # reset the next calls of a busy client that keeps to the limit of streams. Such a client must get answers.
            # A client that does not keep to that limit is still reset. Clients that cancel their calls at once can
            # make us hold as many calls as the limits below allow, 15 kB each.
            ("grpc.http.overload_protection", 0),
            # Calls may arrive faster than our code sees them. With its default limit of a thousand, gRPC would cancel
            # some at random, which tells their callers nothing. So they wait for the moment until they are refused.
            ("grpc.server.max_pending_requests", PENDING),
            ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING),
            # A client that connects and sends nothing is disconnected after this time.
            ("grpc.server_handshake_timeout_ms", round(self.handshake_seconds * 1000)),
            # Without this a second process binds the same port and silently takes half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_connection_age_ms", round(self.max_connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", round(max(self.shutdown_grace_seconds, self.stream_seconds) * 1000)),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
            ("grpc.http2.max_ping_strikes", 2),
        ]


class GrpcServer:
    """One listening server. Its services must be added by `add` before `start`."""

    def __init__(
        self,
        listen: str,
        limits: GrpcLimits,
        *,
        services: Sequence[str],
        concurrency: ConcurrencyLimit | None = None,
        reflect: bool = True,
        setting: str = "LISTEN",
    ) -> None:
        self.server = grpc.aio.server(
            options=limits.channel_options(),
            # This limit is far higher than that of `concurrency`, which refuses first and says when to retry. It is for
            # calls whose requests do not arrive, and for calls that arrive faster than refusals can be sent.
            maximum_concurrent_rpcs=NET * limits.max_concurrent_rpcs,
        )
        log_what_concerns_us()
        self._listen, self._limits, self._setting = listen, limits, setting
        self._concurrency = concurrency
        self._services = tuple(services)
        self._health = add_standard_services(self.server, self._services, reflect=reflect)

    def add(self, service: grpc.GenericRpcHandler) -> None:
        """Serves `service`. Its unary methods are within the limit on concurrent calls, if there is one."""
        limit = self._concurrency
        self.server.add_generic_rpc_handlers((service if limit is None else LimitedMethods(service, limit),))

    async def start(self) -> str:
        """Listens and returns the bound address. Raises StartupRefused, which names the setting, if the port is busy.

        If the port is busy but nobody listens on it, waits for it first. The health of the process ("") is SERVING
        then. That of its services is NOT_SERVING until `set_serving(True)`.
        """
        await until_free(*host_and_port(self._listen))
        try:
            port = self.server.add_insecure_port(self._listen)
        except RuntimeError:
            raise StartupRefused(
                f"cannot listen on {self._listen} (address in use or not ours); set {self._setting} to a free address"
            ) from None
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        await self.set_serving(False)
        await self.server.start()
        return f"{self._listen.rpartition(':')[0]}:{port}"

    async def set_serving(self, serving: bool) -> None:
        """Sets the health of the services, by which load balancers decide whether to send calls here."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._health.set(service, status)

    async def stop(self) -> None:
        """Reports NOT_SERVING to load balancers, and then lets running calls finish within `shutdown_grace_seconds`."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(self._limits.shutdown_grace_seconds)
