"""Serves WatchOrders: writes the changes to the caller's stream, as fast as the caller reads them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.watching.watch_orders import WatchOrders
from query_service.handlers.grpc.request_rules import validate
from query_service.wire.order_criteria import criteria_of
from service_runtime.edge.service_methods import Behaviour, Call


class OrderWatching:
    """Serves the method. It raises what WatchOrders raises, and InvalidRequest."""

    def __init__(self, watch: WatchOrders) -> None:
        self._watch = watch
        self._streams: set[asyncio.Task[None]] = set()
        self._closed = False

    def questions(self) -> Mapping[str, Behaviour]:
        """Returns the behaviour of the method, by its name in the contract."""
        return {"WatchOrders": self.watch_orders}

    async def watch_orders(self, request: contract.WatchOrdersRequest, call: Call) -> None:
        """Writes encoded responses until the watch is over or the caller leaves."""
        validate(request)
        stream = asyncio.create_task(self._write(request, call))
        self._streams.add(stream)
        try:
            await stream
        except asyncio.CancelledError:
            # `close` cancels the streams, not this task. A stream that ends without an error can be resumed.
            if not (self._closed and stream.done()):
                raise
        finally:
            self._streams.discard(stream)
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await stream  # its error was raised above

    def close(self) -> None:
        """Ends all watches, and those that begin later, at once and without an error."""
        self._closed = True
        for stream in self._streams:
            stream.cancel()

    async def _write(self, request: contract.WatchOrdersRequest, call: Call) -> None:
        responses = self._watch(
            criteria_of(request.filter), request.resume_token, latest=request.mode == contract.WATCH_MODE_LATEST
        )
        async with contextlib.aclosing(responses):
            async for response in responses:
                if self._closed:
                    return
                await call.context.write(response)
