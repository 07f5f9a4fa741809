"""Tracks what is in flight to the stream. Pure: sequences and times are arguments.

The window predicts the stream sequence of everything it sends. An ack must be for the next outstanding sequence.
Anything else closes the session, because then the prediction was wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from relay.events.message import Message


@dataclass(slots=True)
class Flight:
    """Messages written at once. `last_sequence` is the predicted sequence of the last one; `deadline` is monotonic."""

    messages: Sequence[Message]
    last_sequence: int
    size: int
    deadline: float
    sent_at: float
    atomic: bool


class PublishWindow:
    """Flights in the order they were sent."""

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
        """(events, bytes) that still fit; both are 0 when either is used up."""
        events, size = self._max_events - self.outstanding, self._max_bytes - self._bytes
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def deadline(self) -> float | None:
        """When the oldest flight must have been acknowledged."""
        return self._flights[0].deadline if self._flights else None

    def sent(self, messages: Sequence[Message], size: int, now: float, timeout: float, *, atomic: bool) -> None:
        """Records a flight that has just been written."""
        self.sent_sequence += len(messages)
        self._bytes += size
        self._flights.append(Flight(messages, self.sent_sequence, size, now + timeout, now, atomic))

    def expected(self) -> int | None:
        """The sequence that the next ack must have. An atomic flight is acknowledged by its last message alone."""
        if not self._flights:
            return None
        first = self._flights[0]
        return first.last_sequence if first.atomic else self.stored_sequence + 1

    def awaited(self) -> tuple[int, int]:
        """(first, count) of the sequences that are to be acknowledged one by one before anything else."""
        count = 0
        for flight in self._flights:
            if flight.atomic:
                break
            count = flight.last_sequence - self.stored_sequence
        return self.stored_sequence + 1, count

    def acknowledged(self, sequence: int) -> Flight | None:
        """Records acks up to `sequence` (the next expected one or a later one), no further than the oldest flight.

        Returns that flight if this completes it.
        """
        first = self._flights[0]
        self.stored_sequence = min(sequence, first.last_sequence)
        if sequence < first.last_sequence:
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
        """The outstanding flight that has the message with that predicted sequence."""
        for flight in self._flights:
            if flight.last_sequence - len(flight.messages) < sequence <= flight.last_sequence:
                return flight
        return None

    def message_at(self, sequence: int) -> Message | None:
        """The outstanding message with that predicted sequence."""
        flight = self.flight_of(sequence)
        return flight.messages[sequence - flight.last_sequence - 1] if flight is not None else None
