"""Serves `ImportOrders`: a stream of orders in, and a stream of their results out in the same sequence.

Several orders are imported at once, each in its own transaction. If two orders of a stream have the same identity, the
one sent first is imported first. At most `WINDOW` orders are read and not yet answered, so the service stops reading
from a caller that does not read results. A refused order gets its status as the result, and the stream continues.

If the database fails or this process stops, the stream ends after the results that it could still send. The caller then
sends the orders without a result again. Orders that were already imported are answered as replays.
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

#: The most orders of one stream that may be read and not yet answered.
WINDOW = 256
#: The most bytes that these orders may have together.
WINDOW_BYTES = 16 * 1024 * 1024
#: How many seconds an import waits before it tries again when the service is overloaded. It may wait, because no person
#: waits for its result.
BUSY_PAUSE_SECONDS = 0.25
#: Failures that are not caused by the order, so the next orders would fail in the same way. They end the stream.
_ENDS_THE_STREAM = (DependencyUnavailable, Conflict, TimedOut)

Request = contract.ImportOrdersRequest
Result = asyncio.Task["bytes | Exception"]


class OrderImports:
    """Serves `ImportOrders`.

    At most `streams` streams run at the same time, and all of them together run at most `at_once` transactions.
    """

    def __init__(self, execution: Execution, metrics: CommandMetrics, *, streams: int, at_once: int) -> None:
        self._execution, self._metrics = execution, metrics
        self._limit, self._slots = streams, asyncio.Semaphore(at_once)
        self._streams: set[_Stream] = set()
        self._stopping = asyncio.Event()

    @property
    def unanswered(self) -> int:
        """The number of orders, over all streams, that are read and not yet answered."""
        return sum(stream.unanswered for stream in self._streams)

    def stop(self) -> None:
        """Stops reading from all streams. Each stream ends after the results of the orders that it has read."""
        self._stopping.set()

    async def import_orders(self, requests: AsyncIterator[Request], call: Call) -> None:
        """Serves one stream: writes the result of each request in sequence. Raises the error that ends the stream."""
        if len(self._streams) >= self._limit:
            raise Overloaded
        stream = _Stream(self, requests, call.context)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def until_stopped(self) -> None:
        """Waits until `stop` is called."""
        await self._stopping.wait()

    async def result(self, request: Request, principal: str, traceparent: str) -> bytes | Exception:
        """Imports one order. Returns its result, or the exception that ends the stream. Raises only when cancelled."""
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
        # The id is returned as the caller wrote it, perhaps in capitals.
        response.request_id, response.replayed = request.request_id, result.replayed
        return response.SerializeToString()


class _Window:
    """Limits the orders, and their bytes, that one stream has read and not yet answered."""

    def __init__(self) -> None:
        self.orders = self._bytes = 0
        self._changed = asyncio.Condition()

    async def opened(self) -> None:
        """Waits until another order may be read."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.orders < WINDOW and self._bytes < WINDOW_BYTES)

    async def moved(self, orders: int, size: int) -> None:
        """Adds to the unanswered orders and their bytes. Both numbers are negative after an answer."""
        async with self._changed:
            self.orders, self._bytes = self.orders + orders, self._bytes + size
            self._changed.notify_all()


class _Stream:
    """Reads the requests of one stream, imports them, and writes the results, all at the same time."""

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
