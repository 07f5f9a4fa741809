"""The methods of the contract that no service serves yet. The one list of them: what gets served leaves it."""

from __future__ import annotations

from pathlib import Path
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
NOT_SERVED = {
    "RedactCustomer",
}


@pytest.mark.parametrize("page", ["README.md", "protos/README.md"])
def test_the_pages_for_callers_name_the_methods_that_are_not_served(page: str) -> None:
    named = {name for _, method in METHODS if f"`{(name := method.name)}`" in _paragraph(page)}
    assert named == NOT_SERVED


def _paragraph(page: str) -> str:
    """The paragraph of a page that lists them: the one that names the first of all."""
    paragraphs = (Path(__file__).parents[2] / page).read_text(encoding="utf-8").split("\n\n")
    return next(paragraph for paragraph in paragraphs if "`RedactCustomer`" in paragraph)


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
async def test_a_method_is_served_or_says_that_it_is_not(system: System, part: str, method: MethodDescriptor) -> None:
    async with grpc.aio.insecure_channel(system.address_of(part)) as channel:
        try:
            await ask(channel, method)
        except grpc.aio.AioRpcError as error:
            refused = from_rpc_error(error)
            assert refused.code != grpc.StatusCode.INTERNAL
            not_served = refused.code == grpc.StatusCode.UNIMPLEMENTED
            assert not_served == (refused.reason == "NOT_IMPLEMENTED")
        else:
            not_served = False
    assert not_served == (method.name in NOT_SERVED)
