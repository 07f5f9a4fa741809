"""Imports orders on `grpc.aio` channels, and continues on a new stream when one ends early; see `order_import`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Protocol

import grpc
from tandem.orders.errors import from_rpc_error
from tandem.orders.import_state import IMPORT_POLICY, WINDOW, ImportedItem, Outage, Sending, Unanswered
from tandem.orders.retry import RetryPolicy
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse

Requests = Iterable[ImportOrdersRequest] | AsyncIterable[ImportOrdersRequest]


class AsyncImportStream(Protocol):
    """One bidirectional stream."""

    async def write(self, request: ImportOrdersRequest, /) -> None:
        """Sends one request."""

    async def done_writing(self) -> None:
        """Ends the requests; results still come."""

    async def read(self) -> object:
        """Waits for the next result. Returns `grpc.aio.EOF` at the stream's end."""

    def cancel(self) -> object:
        """Ends the stream."""


class AsyncImportCall(Protocol):
    """`ImportOrders` of a stub on a `grpc.aio` channel."""

    def __call__(self) -> AsyncImportStream:
        """Opens one stream."""
        ...


class AsyncOrderImport(AsyncIterator[ImportedItem]):
    """`OrderImport` for `grpc.aio` channels: `async for request, result in AsyncOrderImport(commands.ImportOrders, …)`.

    `requests` may be asynchronous. A task reads it and is cancelled when the import ends early.
    """

    def __init__(
        self, call: AsyncImportCall, requests: Requests, policy: RetryPolicy = IMPORT_POLICY, *, window: int = WINDOW
    ) -> None:
        self._unanswered = Unanswered(window)
        self._results = _results(call, _Items(self._unanswered), requests, policy)

    async def __anext__(self) -> ImportedItem:
        return await anext(self._results)

    @property
    def unanswered(self) -> tuple[ImportOrdersRequest, ...]:
        """The items that were taken from the caller and have no result yet."""
        return tuple(self._unanswered.items)

    async def aclose(self) -> None:
        """Ends the stream and takes no more items from the caller."""
        await self._results.aclose()


class _Items:
    """Shares the unanswered items between tasks. `changed` is notified of every change."""

    def __init__(self, unanswered: Unanswered) -> None:
        self.unanswered = unanswered
        self.changed = asyncio.Condition()

    async def fill(self, requests: Requests) -> None:
        """Takes the caller's items whenever there is room, until they end."""
        fault: BaseException | None = None
        try:
            async for request in _each(requests):
                # Before the first await, so that the item is in `unanswered` even if the import is cancelled there.
                self.unanswered.take(request)
                async with self.changed:
                    self.changed.notify_all()
                    await self.changed.wait_for(lambda: self.unanswered.has_room)
        except Exception as error:
            fault = error
        async with self.changed:
            self.unanswered.end(fault)
            self.changed.notify_all()

    async def send(self, stream: AsyncImportStream, sending: Sending) -> None:
        """Sends items on one stream until its requests end. When the stream breaks, its reader gets the error."""
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                async with self.changed:
                    await self.changed.wait_for(lambda: sending.can_go_on)
                    request = sending.next(clock())
                if request is None:
                    await stream.done_writing()
                    return
                await stream.write(request)

    async def wait(self) -> bool:
        """Waits for an item to send; returns False when the caller has no more and every item has a result."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.unanswered.ended or bool(self.unanswered.items))
            return bool(self.unanswered.items)


async def _results(
    call: AsyncImportCall, items: _Items, requests: Requests, policy: RetryPolicy
) -> AsyncGenerator[ImportedItem, None]:
    filling = asyncio.create_task(items.fill(requests))
    outage = Outage(policy)
    try:
        while await items.wait():
            sending, error = Sending(items.unanswered), None
            try:
                async with contextlib.aclosing(_of_one_stream(call, items, sending, policy)) as stream:
                    async for item in stream:
                        outage.over()
                        yield item
            except grpc.aio.AioRpcError as raised:
                error = raised
            if items.unanswered.items:
                failure = sending.failure(from_rpc_error(error) if error is not None else None)
                await asyncio.sleep(outage.pause_after(failure, error))
        if items.unanswered.fault is not None:
            raise items.unanswered.fault
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


async def _of_one_stream(
    call: AsyncImportCall, items: _Items, sending: Sending, policy: RetryPolicy
) -> AsyncGenerator[ImportedItem, None]:
    clock = asyncio.get_running_loop().time
    stream = call()
    tasks = [asyncio.create_task(items.send(stream, sending)), asyncio.create_task(_watch(stream, sending, policy))]
    try:
        while True:
            sending.reading(clock())
            result = await _read(stream, sending)
            if result is None:
                return
            async with items.changed:
                item = sending.answered(result, clock())
                items.changed.notify_all()
            yield item
    finally:
        stream.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(stream: AsyncImportStream, sending: Sending) -> ImportOrdersResponse | None:
    """Returns the next result; None if the stream has ended, or if `_watch` cancelled it because a result was late."""
    try:
        result = await stream.read()
    except asyncio.CancelledError:
        # This is also raised when `_watch` cancelled the stream. Only a cancelled task may raise it further.
        if sending.timed_out and not _is_cancelled():
            return None
        raise
    return result if isinstance(result, ImportOrdersResponse) else None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _watch(stream: AsyncImportStream, sending: Sending, policy: RetryPolicy) -> None:
    """Cancels the stream when a result takes longer than `policy.try_timeout`."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(policy.try_timeout / 4)
        if sending.is_late(clock(), policy):
            stream.cancel()
            return


async def _each(requests: Requests) -> AsyncIterator[ImportOrdersRequest]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
