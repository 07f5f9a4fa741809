"""Holds the state of an import that continues on a new stream when one breaks.

It uses neither threads nor asyncio; `order_import` and `order_import_async` do.
"""

from __future__ import annotations

import uuid
from collections import deque
from typing import NamedTuple

import grpc
from tandem.orders.errors import DeadlineExceeded, OrderError
from tandem.orders.retry import RetryPolicy, Tries, worth_repeating
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse

#: The most items, and the most bytes, that are taken from the caller without having a result. The service has the same
#: limits.
WINDOW = 256
WINDOW_BYTES = 16 * 1024 * 1024
#: `try_timeout` limits the wait for one result. `give_up_after` counts from the first failure after the last result.
IMPORT_POLICY = RetryPolicy(try_timeout=30.0)


class ImportedItem(NamedTuple):
    """One item of an import as it was sent, and its result."""

    request: ImportOrdersRequest
    result: ImportOrdersResponse


class Unanswered:
    """A queue of the items that were taken from the caller and have no result yet, in the order sent.

    `ended`: the caller has no more items. `fault` is the exception that the caller's iterator raised, or None.
    """

    def __init__(self, window: int) -> None:
        self.items: deque[ImportOrdersRequest] = deque()
        self.ended = False
        self.fault: BaseException | None = None
        self._window, self._bytes = window, 0

    @property
    def has_room(self) -> bool:
        """Whether another item may be taken: the queue has fewer than `window` items and less than WINDOW_BYTES."""
        return len(self.items) < self._window and self._bytes < WINDOW_BYTES

    def take(self, request: ImportOrdersRequest) -> None:
        """Appends a copy of the request, because the caller may reuse the message. Fills in an empty `request_id`."""
        item = ImportOrdersRequest()
        item.CopyFrom(request)
        item.request_id = item.request_id or str(uuid.uuid4())
        self.items.append(item)
        self._bytes += item.ByteSize()

    def end(self, fault: BaseException | None = None) -> None:
        """Records that the caller has no more items, or that their iterator raised `fault`."""
        self.ended, self.fault = True, fault

    def answer(self, result: ImportOrdersResponse) -> ImportedItem:
        """Removes the first item and returns it with its result. Raises OrderError if the result is for another."""
        # Ids are compared without regard to case.
        if not self.items or self.items[0].request_id.lower() != result.request_id.lower():
            expected = self.items[0].request_id if self.items else "none"
            raise OrderError(
                grpc.StatusCode.INTERNAL,
                f"results must come in the order sent: expected one for {expected}, got one for {result.request_id}",
            )
        item = self.items.popleft()
        self._bytes -= item.ByteSize()
        return ImportedItem(item, result)


class Sending:
    """Tracks which of the unanswered items were sent on one stream. A new stream begins with the first item.

    All times are in seconds of one clock, which the caller chooses. `over`: nothing more is sent on this stream.
    """

    def __init__(self, unanswered: Unanswered) -> None:
        self._unanswered = unanswered
        self.sent = 0
        self.over = False
        self.timed_out = False
        self._ending = False
        self._owed_since = 0.0
        self._reading_since: float | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether `next` may be called: there is an item to send, or the stream's requests end."""
        return self.over or self._unanswered.ended or self.sent < len(self._unanswered.items)

    def next(self, now: float) -> ImportOrdersRequest | None:
        """Returns the next item to send, or None when the stream's requests must end."""
        if self.sent == 0:
            self._owed_since = now
        if self.over or self.sent == len(self._unanswered.items):
            self._ending = True
            return None
        self.sent += 1
        return self._unanswered.items[self.sent - 1]

    def reading(self, now: float) -> None:
        """Records that the caller now waits for the next result."""
        self._reading_since = now

    def answered(self, result: ImportOrdersResponse, now: float) -> ImportedItem:
        """Records a result, and returns it with its item. Until `reading` is called, `is_late` counts no time."""
        item = self._unanswered.answer(result)
        self.sent -= 1
        self._owed_since, self._reading_since = now, None
        return item

    def is_late(self, now: float, policy: RetryPolicy) -> bool:
        """Returns whether the next result, or the stream's end, has been due for more than `policy.try_timeout`.

        `timed_out` keeps the answer.
        """
        if (self.sent or self._ending) and self._reading_since is not None:
            self.timed_out = now - max(self._owed_since, self._reading_since) > policy.try_timeout
        return self.timed_out

    def failure(self, error: OrderError | None) -> OrderError:
        """Returns why the stream ended early. Pass None for `error` when the service ended it without an error."""
        if self.timed_out:
            return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "no result came within the policy's try_timeout")
        return error or OrderError(grpc.StatusCode.UNKNOWN, "the stream ended before every item had a result")


class Outage:
    """Counts the failures since the last result and decides whether to open another stream."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._tries: Tries | None = None
        self._reported: OrderError | None = None

    def over(self) -> None:
        """Ends the outage, because a result came. The next failure begins a new one."""
        self._tries = self._reported = None

    def pause_after(self, error: OrderError, cause: BaseException | None) -> float:
        """Returns the seconds until the next stream. Raises the error if another try is hopeless or too late."""
        self._tries = self._tries or Tries(self._policy)
        # INTERNAL without a reason means that a proxy reset the stream, or that the stream ended during a write. The
        # service's error is then lost, so the error of an earlier stream is raised instead, if there is one.
        reset = error.code is grpc.StatusCode.INTERNAL and not error.reason
        if not reset:
            self._reported = error
        return self._tries.pause_after(self._reported or error, cause, worth_it=reset or worth_repeating(error))
