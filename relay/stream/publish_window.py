"""Tracks which messages are in flight to the stream. It does no I/O: sequences and times are arguments.

The window predicts the stream sequence of every message that is sent. An ack must be for the next outstanding sequence.
Any other ack shows that the prediction was wrong, and closes the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from relay.events.message import Message


@dataclass(slots=True)
class Flight:
    """Messages that were written together.

    `last_sequence` is the predicted sequence of the last message, `size` is in bytes. `sent_at`, and the `deadline` for
    the ack, are monotonic times. `atomic` says whether the messages are one batch, `each` whether each message has an
    ack of its own. Otherwise only the last one has.
    """

    messages: Sequence[Message]
    last_sequence: int
    size: int
    deadline: float
    sent_at: float
    atomic: bool
    each: bool


class PublishWindow:
    """The flights that are not wholly acknowledged, in the order of sending, and how much more may be sent."""

    def __init__(self, last_sequence: int, max_events: int, max_bytes: int) -> None:
        self._flights: deque[Flight] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self.stored_sequence = last_sequence
        self.sent_sequence = last_sequence

    @property
    def settled(self) -> bool:
        """Whether nothing is outstanding."""
        return not self._flights

    @property
    def outstanding(self) -> int:
        """Messages sent and not acknowledged."""
        return self.sent_sequence - self.stored_sequence

    @property
    def outstanding_bytes(self) -> int:
        """Bytes of the flights that are not wholly acknowledged."""
        return self._bytes

    def room(self) -> tuple[int, int]:
        """Returns how much more may be sent, as (messages, bytes). Both are 0 if one of the two is used up."""
        events, size = self._max_events - self.outstanding, self._max_bytes - self._bytes
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def deadline(self) -> float | None:
        """Returns the monotonic time by which the oldest flight must be acknowledged; None if nothing is in flight."""
        return self._flights[0].deadline if self._flights else None

    def sent(
        self, messages: Sequence[Message], size: int, now: float, timeout: float, *, atomic: bool, each: bool = False
    ) -> None:
        """Records a flight that has just been written."""
        self.sent_sequence += len(messages)
        self._bytes += size
        self._flights.append(Flight(messages, self.sent_sequence, size, now + timeout, now, atomic, each))

    def expected(self) -> int | None:
        """Returns the sequence that the next ack must have; None if nothing is in flight."""
        if not self._flights:
            return None
        first = self._flights[0]
        return self.stored_sequence + 1 if first.each else first.last_sequence

    def acknowledged(self) -> Flight | None:
        """Records the expected ack. Returns the oldest flight if all its messages are stored now, otherwise None."""
        first = self._flights[0]
        self.stored_sequence = self.stored_sequence + 1 if first.each else first.last_sequence
        if self.stored_sequence < first.last_sequence:
            return None
        self._bytes -= first.size
        return self._flights.popleft()

    def oldest(self) -> int | None:
        """The least `recorded_at` of the outstanding events; None when there are none."""
        return min(
            (
                message.recorded_at
                for flight in self._flights
                for message in flight.messages[
                    max(0, self.stored_sequence - flight.last_sequence + len(flight.messages)) :
                ]
                if message.recorded_at is not None
            ),
            default=None,
        )

    def flight_of(self, sequence: int) -> Flight | None:
        """Returns the flight that contains the message with that predicted sequence; None if none in flight does."""
        for flight in self._flights:
            if flight.last_sequence - len(flight.messages) < sequence <= flight.last_sequence:
                return flight
        return None

    def message_at(self, sequence: int) -> Message | None:
        """Returns the message in flight with that predicted sequence; None if there is none."""
        flight = self.flight_of(sequence)
        return flight.messages[sequence - flight.last_sequence - 1] if flight is not None else None
