"""`python -m bench.commands.bare_server empty|refusing BYTES`: what grpc.aio costs alone.

Any method of any service is answered: with as many bytes as an order's answer has, or refused as nobody could refuse
more cheaply. The server is set up as the services' own, its limit on calls at once apart.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer


class Anything(grpc.GenericRpcHandler):
    """One behaviour for all methods."""

    def __init__(self, behaviour: Any) -> None:
        self._handler: Any = grpc.unary_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Called by gRPC for each call."""
        return None if "grpc.health" in str(handler_call_details.method) else self._handler


async def main(kind: str, size: int) -> None:
    """Serves until it is killed; the first line of its output is its address."""
    answer = bytes(size)

    async def answering(_: bytes, __: Any) -> bytes:
        return answer

    async def refusing(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the service is at its limit")

    server = GrpcServer("127.0.0.1:0", GrpcLimits(), services=(), reflect=False)
    server.add(Anything(answering if kind == "empty" else refusing))
    print(await server.start(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
