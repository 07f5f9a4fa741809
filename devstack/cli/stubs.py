"""Stubs for the stack that runs here, or for the services that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from tandem.orders.client import channel_options
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from devstack.stack.known_stack import default_topology, known_stack

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub
    from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub


@dataclass(frozen=True)
class Stubs:
    """All services, and the channels to them by name."""

    commands: OrderCommandServiceAsyncStub
    queries: OrderQueryServiceAsyncStub
    exports: OrderExportServiceAsyncStub
    addresses: dict[str, str]
    channels: dict[str, grpc.aio.Channel]

    def address_of(self, service: str) -> str:
        """Returns the address of `command`, `query` or `export`."""
        return self.addresses[service]


def service_addresses() -> dict[str, str]:
    """Returns addresses: TANDEM_COMMAND_ADDRESS and so on, else the running stack, else the defaults."""
    stack = known_stack() or default_topology()
    return {"command": stack.command, "query": stack.query, "export": stack.export}


@asynccontextmanager
async def open_stubs() -> AsyncIterator[Stubs]:
    """Yields stubs for all services; their channels connect on first use.

    Nothing is retried, so a user sees at once that a command did not work.
    """
    addresses = service_addresses()
    options = [*channel_options(), ("grpc.enable_retries", 0)]
    async with (
        grpc.aio.insecure_channel(addresses["command"], options=options) as commands,
        grpc.aio.insecure_channel(addresses["query"], options=options) as queries,
        grpc.aio.insecure_channel(addresses["export"], options=options) as exports,
    ):
        channels = {"command": commands, "query": queries, "export": exports}
        yield Stubs(
            OrderCommandServiceStub(commands),
            OrderQueryServiceStub(queries),
            OrderExportServiceStub(exports),
            addresses,
            channels,
        )
