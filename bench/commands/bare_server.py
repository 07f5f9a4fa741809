"""`python -m bench.commands.bare_server empty|refusing BYTES`: serves calls that do nothing, to measure grpc.aio alone.

`empty` answers every method with BYTES bytes, as many as a real response has. `refusing` refuses every call as cheaply
as possible. The server is configured like the services, except for the limit on concurrent calls.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from service_runtime.edge.grpc_server import GrpcLimits, GrpcServer


class Anything(grpc.GenericRpcHandler):
    """Handles every method in the same way."""

    def __init__(self, behaviour: Any) -> None:
        self._handler: Any = grpc.unary_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the handler of a call. gRPC asks for it at each call."""
        return None if "grpc.health" in str(handler_call_details.method) else self._handler


async def main(kind: str, size: int) -> None:
    """Prints the server's address as the first line, and serves until the process is killed."""
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
