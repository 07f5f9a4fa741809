"""Imports orders on `grpc` channels, and continues on a new stream when one ends early.

A stream of `ImportOrders` ends with its connection, and a server closes connections that reach a certain age. The items
without a result are then sent again on a new stream, with the same request ids. An item that was already imported is
answered as a replay.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import grpc
from tandem.orders.errors import from_rpc_error
from tandem.orders.import_state import IMPORT_POLICY, WINDOW, ImportedItem, Outage, Sending, Unanswered
from tandem.orders.retry import RetryPolicy
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse


class ResultStream(Protocol):
    """The results of one stream."""

    def __next__(self) -> ImportOrdersResponse:
        """Waits for the next result; raises StopIteration at the stream's end."""
        ...

    def cancel(self) -> object:
        """Ends the stream."""


class ImportCall(Protocol):
    """`ImportOrders` of a stub on a `grpc` channel."""

    def __call__(self, requests: Iterator[ImportOrdersRequest], /) -> ResultStream:
        """Opens one stream."""
        ...


class OrderImport(Iterator[ImportedItem]):
    """Imports orders and yields each item with its result, once, in the order of the items.

        for request, result in OrderImport(commands.ImportOrders, requests):
            ...

    A thread reads `requests`. It waits while `window` items, or 16 MiB, have no result. A result may be a refusal
    (`result.status`); the import continues after it. When a stream breaks, a new one is opened. Raises OrderError when
    a retry is hopeless, or after `policy.give_up_after` seconds of failures without a result. `unanswered` then has the
    items without a result, in sequence, to give to another import. If `requests` raises, its exception is raised after
    the results of all items before it.
    """

    def __init__(
        self,
        call: ImportCall,
        requests: Iterable[ImportOrdersRequest],
        policy: RetryPolicy = IMPORT_POLICY,
        *,
        window: int = WINDOW,
    ) -> None:
        self._items = _Items(window)
        self._results = _results(call, self._items, requests, policy)

    def __next__(self) -> ImportedItem:
        return next(self._results)

    @property
    def unanswered(self) -> tuple[ImportOrdersRequest, ...]:
        """The items that were taken from the caller and have no result yet.

        After an import that ended early, one more may appear: the item that `requests` was about to yield.
        """
        with self._items.changed:
            return tuple(self._items.unanswered.items)

    def close(self) -> None:
        """Ends the stream and takes no more items from the caller."""
        self._results.close()


class _Items:
    """Shares the unanswered items between threads. `changed` is their lock, and is notified of every change."""

    def __init__(self, window: int) -> None:
        self.unanswered = Unanswered(window)
        self.changed = threading.Condition()
        self.closed = False

    def fill(self, requests: Iterable[ImportOrdersRequest]) -> None:
        """Takes the caller's items whenever there is room, until they end."""
        fault: BaseException | None = None
        try:
            for request in requests:
                with self.changed:
                    self.unanswered.take(request)
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self.closed or self.unanswered.has_room)
                    if self.closed:
                        return
        except BaseException as error:
            fault = error
        with self.changed:
            self.unanswered.end(fault)
            self.changed.notify_all()

    def sent_by(self, sending: Sending) -> Iterator[ImportOrdersRequest]:
        """Yields the items that one stream sends, waiting for more until its requests end."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: sending.can_go_on)
                request = sending.next(time.monotonic())
            if request is None:
                return
            yield request

    def wait(self) -> bool:
        """Waits for an item to send; returns False when the caller has no more and every item has a result."""
        with self.changed:
            self.changed.wait_for(lambda: self.unanswered.ended or self.unanswered.items)
            return bool(self.unanswered.items)

    def close(self) -> None:
        """Ends the thread that runs `fill`."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def _results(
    call: ImportCall, items: _Items, requests: Iterable[ImportOrdersRequest], policy: RetryPolicy
) -> Generator[ImportedItem, None, None]:
    threading.Thread(target=items.fill, args=(requests,), name="import-orders", daemon=True).start()
    outage = Outage(policy)
    try:
        while items.wait():
            sending, error = Sending(items.unanswered), None
            try:
                with contextlib.closing(_of_one_stream(call, items, sending, policy)) as stream:
                    for item in stream:
                        outage.over()
                        yield item
            except grpc.RpcError as raised:
                error = raised
            if items.unanswered.items:
                failure = sending.failure(from_rpc_error(error) if error is not None else None)
                time.sleep(outage.pause_after(failure, error))
        if items.unanswered.fault is not None:
            raise items.unanswered.fault
    finally:
        items.close()


def _of_one_stream(
    call: ImportCall, items: _Items, sending: Sending, policy: RetryPolicy
) -> Generator[ImportedItem, None, None]:
    stream = call(items.sent_by(sending))
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(stream, items, sending, over, policy), daemon=True)
    watch.start()
    try:
        while True:
            with items.changed:
                sending.reading(time.monotonic())
            try:
                result = next(stream)
            except StopIteration:
                return
            with items.changed:
                item = sending.answered(result, time.monotonic())
                items.changed.notify_all()
            yield item
    finally:
        over.set()
        with items.changed:
            sending.over = True
            items.changed.notify_all()
        stream.cancel()


def _watch(stream: ResultStream, items: _Items, sending: Sending, over: threading.Event, policy: RetryPolicy) -> None:
    """Cancels the stream when a result takes longer than `policy.try_timeout`."""
    while not over.wait(policy.try_timeout / 4):
        with items.changed:
            late = sending.is_late(time.monotonic(), policy)
        if late:
            stream.cancel()
            return
