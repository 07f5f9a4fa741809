"""Serves `ImportOrders`: a stream of orders in, a stream of results out, in the same order.

Several orders are imported at once, each in its own transaction. Of two with the same identity the one sent first is
imported first. At most `WINDOW` orders are read and not yet answered, so a caller that does not read results is not
read from. A refused order is answered with its status, and the stream continues. If the database is gone or this
process stops, the stream ends after the results of the orders before. The caller then sends everything again; imported
orders are answered as replays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.application.command_call import CommandCall
from command_service.application.errors import Conflict, DependencyUnavailable, Overloaded, Stopping, TimedOut
from command_service.application.execution import Execution
from command_service.handlers.caller import principal_of, traceparent_of
from command_service.handlers.import_turns import ImportTurns
from command_service.handlers.request_rules import validate
from command_service.handlers.status import status_of
from command_service.metrics import CommandMetrics
from command_service.wire.commands import fingerprint, import_order
from service_runtime.edge.service_methods import Call, Context

#: Orders of one stream that are read and not yet answered.
WINDOW = 256
#: And how large they may be together, for large orders.
WINDOW_BYTES = 16 * 1024 * 1024
#: A busy service lets an import wait: nobody looks at it.
BUSY_PAUSE_SECONDS = 0.25
#: Faults that are not an order's own. Going on would answer each order that follows with the same.
_ENDS_THE_STREAM = (DependencyUnavailable, Conflict, TimedOut)

Request = contract.ImportOrdersRequest
Result = asyncio.Task["bytes | Exception"]


class OrderImports:
    """Serves at most `streams` import streams, with at most `at_once` transactions over all of them."""

    def __init__(self, execution: Execution, metrics: CommandMetrics, *, streams: int, at_once: int) -> None:
        self._execution, self._metrics = execution, metrics
        self._limit, self._slots = streams, asyncio.Semaphore(at_once)
        self._streams: set[_Stream] = set()
        self._stopping = asyncio.Event()

    @property
    def unanswered(self) -> int:
        """Orders that are read and not yet answered."""
        return sum(stream.unanswered for stream in self._streams)

    def stop(self) -> None:
        """Stops reading: each stream ends once it has answered what it has read."""
        self._stopping.set()

    async def import_orders(self, requests: AsyncIterator[Request], call: Call) -> None:
        """Answers each request in order; raises what ended the stream."""
        if len(self._streams) >= self._limit:
            raise Overloaded
        stream = _Stream(self, requests, call.context)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def until_stopped(self) -> None:
        """Returns when `stop` was called."""
        await self._stopping.wait()

    async def result(self, request: Request, principal: str, traceparent: str) -> bytes | Exception:
        """The result of one order, or what is to end the stream. Never raises but when cancelled."""
        try:
            async with self._slots:
                return await self._imported(request, principal, traceparent)
        except _ENDS_THE_STREAM as error:
            return error
        except Exception as error:
            self._metrics.imported("refused")
            status = status_of(error).SerializeToString()
            return contract.ImportOrdersResponse(request_id=request.request_id, status=status).SerializeToString()

    async def _imported(self, request: Request, principal: str, traceparent: str) -> bytes:
        validate(request)
        call = CommandCall(
            principal=principal,
            request_id=UUID(request.request_id),
            fingerprint=fingerprint(request),
            reason=request.reason,
            traceparent=traceparent,
        )
        command = import_order(request, call.derived_id)
        while True:
            try:
                result = await self._execution.execute(call, command)
                break
            except Overloaded:
                await asyncio.sleep(BUSY_PAUSE_SECONDS)
        self._metrics.imported("replayed" if result.replayed else "imported")
        response = contract.ImportOrdersResponse.FromString(result.response)
        # The caller may write an id in capitals; they get back what they sent.
        response.request_id, response.replayed = request.request_id, result.replayed
        return response.SerializeToString()


class _Window:
    """Limits how much is read and not yet answered."""

    def __init__(self) -> None:
        self.orders = self._bytes = 0
        self._changed = asyncio.Condition()

    async def opened(self) -> None:
        """Waits until there is room for another order."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.orders < WINDOW and self._bytes < WINDOW_BYTES)

    async def moved(self, orders: int, size: int) -> None:
        """Adds to what is unanswered; negative when something was answered."""
        async with self._changed:
            self.orders, self._bytes = self.orders + orders, self._bytes + size
            self._changed.notify_all()


class _Stream:
    """One stream: it reads, imports and answers at the same time."""

    def __init__(self, imports: OrderImports, requests: AsyncIterator[Request], context: Context) -> None:
        self._imports, self._requests, self._context = imports, requests, context
        self._window = _Window()
        self._results: asyncio.Queue[tuple[Result, int] | None] = asyncio.Queue()
        self._running: set[Result] = set()

    @property
    def unanswered(self) -> int:
        return self._window.orders

    async def run(self) -> None:
        reading = asyncio.create_task(self._read())
        stopping = asyncio.create_task(self._imports.until_stopped())
        stopping.add_done_callback(lambda _: reading.cancel())
        try:
            while (read := await self._results.get()) is not None:
                result, size = read
                outcome = await result
                if isinstance(outcome, Exception):
                    raise outcome
                await self._context.write(outcome)
                await self._window.moved(-1, -size)
            if reading.cancelled():
                raise Stopping
            await reading
        finally:
            tasks = {reading, stopping, *self._running}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        principal, traceparent = principal_of(self._context), traceparent_of(self._context)
        turns = ImportTurns()
        try:
            async for request in self._requests:
                result = turns.start(request, partial(self._imports.result, request, principal, traceparent))
                self._running.add(result)
                result.add_done_callback(self._running.discard)
                self._results.put_nowait((result, request.ByteSize()))
                await self._window.moved(1, request.ByteSize())
                await self._window.opened()
        finally:
            self._results.put_nowait(None)
