"""Every method of the contract is served.

No method is left out: the test asks for all methods that the descriptors of the three services have, and has no list of
exceptions.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1 import order_command_service_pb2, order_export_service_pb2, order_query_service_pb2

from tests.fixtures.system import System

#: The part of a system that has an address -> the service that listens there.
SERVICES = {
    "command": order_command_service_pb2.DESCRIPTOR.services_by_name["OrderCommandService"],
    "export": order_export_service_pb2.DESCRIPTOR.services_by_name["OrderExportService"],
    "query": order_query_service_pb2.DESCRIPTOR.services_by_name["OrderQueryService"],
}
METHODS: list[tuple[str, MethodDescriptor]] = [
    (part, method) for part, service in SERVICES.items() for method in service.methods
]


async def ask(channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
    """Calls a method of any kind with an empty request, or with none, and reads an answer."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kinds: Any = channel
    if method.client_streaming:
        stub = kinds.stream_stream(path)(iter(()))
    elif method.server_streaming:
        stub = kinds.unary_stream(path)(b"")
    else:
        await kinds.unary_unary(path)(b"")
        return
    async for _ in stub:
        return  # a watch has no end


@pytest.mark.parametrize(("part", "method"), METHODS, ids=[method.name for _, method in METHODS])
async def test_every_method_is_served(system: System, part: str, method: MethodDescriptor) -> None:
    async with grpc.aio.insecure_channel(system.address_of(part)) as channel:
        try:
            await ask(channel, method)
        except grpc.aio.AioRpcError as error:
            refused = from_rpc_error(error)
            assert refused.code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED)
