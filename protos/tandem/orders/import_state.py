"""Keeps the state of an import that resumes over broken streams; without threads and without asyncio."""

from __future__ import annotations

import uuid
from collections import deque
from typing import NamedTuple

import grpc
from tandem.orders.errors import DeadlineExceeded, OrderError
from tandem.orders.retry import RetryPolicy, Tries, worth_repeating
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse

#: Items that are taken from the caller and not yet answered, and how large they may be together. As at the service.
WINDOW = 256
WINDOW_BYTES = 16 * 1024 * 1024
#: As for commands. `try_timeout` is how long a stream may owe a result; `give_up_after` counts from the first failure
#: that no result has followed.
IMPORT_POLICY = RetryPolicy(try_timeout=30.0)


class ImportedItem(NamedTuple):
    """One item as it was sent, with its result."""

    request: ImportOrdersRequest
    result: ImportOrdersResponse


class Unanswered:
    """Items taken from the caller and not yet answered, in the order of sending and answering.

    `ended`: the caller has no more. `fault`: what their iterator raised instead of ending.
    """

    def __init__(self, window: int) -> None:
        self.items: deque[ImportOrdersRequest] = deque()
        self.ended = False
        self.fault: BaseException | None = None
        self._window, self._bytes = window, 0

    @property
    def has_room(self) -> bool:
        """Whether another item may be taken."""
        return len(self.items) < self._window and self._bytes < WINDOW_BYTES

    def take(self, request: ImportOrdersRequest) -> None:
        """Stores a copy, because the caller may reuse the message; fills in an empty `request_id`."""
        item = ImportOrdersRequest()
        item.CopyFrom(request)
        item.request_id = item.request_id or str(uuid.uuid4())
        self.items.append(item)
        self._bytes += item.ByteSize()

    def end(self, fault: BaseException | None = None) -> None:
        """Records that the caller has no more items."""
        self.ended, self.fault = True, fault

    def answer(self, result: ImportOrdersResponse) -> ImportedItem:
        """Returns the item of a result, which is the first one. Raises OrderError if the result is of another one."""
        # Ids count in either case.
        if not self.items or self.items[0].request_id.lower() != result.request_id.lower():
            expected = self.items[0].request_id if self.items else "none"
            raise OrderError(
                grpc.StatusCode.INTERNAL,
                f"results must come in the order sent: {expected} was to be answered, not {result.request_id}",
            )
        item = self.items.popleft()
        self._bytes -= item.ByteSize()
        return ImportedItem(item, result)


class Sending:
    """One stream's pass over the unanswered items; a new stream begins at the first of them.

    Times in seconds of any one clock. `over`: nothing more is to be sent.
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
        """Whether `next` returns something."""
        return self.over or self._unanswered.ended or self.sent < len(self._unanswered.items)

    def next(self, now: float) -> ImportOrdersRequest | None:
        """Returns what to send next; None when the stream's requests are to end."""
        if self.sent == 0:
            self._owed_since = now
        if self.over or self.sent == len(self._unanswered.items):
            self._ending = True
            return None
        self.sent += 1
        return self._unanswered.items[self.sent - 1]

    def reading(self, now: float) -> None:
        """Records that the caller waits for the next result."""
        self._reading_since = now

    def answered(self, result: ImportOrdersResponse, now: float) -> ImportedItem:
        """Records a result; from now on the time is the caller's, until `reading`."""
        item = self._unanswered.answer(result)
        self.sent -= 1
        self._owed_since, self._reading_since = now, None
        return item

    def is_late(self, now: float, policy: RetryPolicy) -> bool:
        """Whether a result, or the end, is overdue; remembers it."""
        if (self.sent or self._ending) and self._reading_since is not None:
            self.timed_out = now - max(self._owed_since, self._reading_since) > policy.try_timeout
        return self.timed_out

    def failure(self, error: OrderError | None) -> OrderError:
        """Returns why the stream ended early. `error` None: the service ended it without an error."""
        if self.timed_out:
            return DeadlineExceeded(grpc.StatusCode.DEADLINE_EXCEEDED, "no result came within the policy's try_timeout")
        return error or OrderError(grpc.StatusCode.UNKNOWN, "the stream ended before everything sent was answered")


class Outage:
    """Failures since the last result."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._tries: Tries | None = None
        self._told: OrderError | None = None

    def over(self) -> None:
        """Records a result, which ends the outage."""
        self._tries = self._told = None

    def pause_after(self, error: OrderError, cause: BaseException | None) -> float:
        """Returns the seconds until a new stream is worth a try; raises the error if none is."""
        self._tries = self._tries or Tries(self._policy)
        # How a stream looks that a proxy has reset, or that ended while something was being written to it: what the
        # service said is lost then, and what it said before tells more.
        reset = error.code is grpc.StatusCode.INTERNAL and not error.reason
        if not reset:
            self._told = error
        return self._tries.pause_after(self._told or error, cause, worth_it=reset or worth_repeating(error))
