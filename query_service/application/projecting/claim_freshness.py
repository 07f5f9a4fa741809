"""Decides when everything before a barrier is in the read model.

Several projectors share the stream, so no projector knows this alone. The consumer's ack floor shows it: every message
up to the floor is acknowledged, and a message is acknowledged only after it is applied or parked. So once the floor has
reached a barrier, every event before the barrier is applied or parked.
"""

from __future__ import annotations

from typing import Protocol

from query_service.application.projecting.project_events import ReachedBarrier


class BarrierLedger:
    """The barriers that were delivered here and that the ack floor has not reached yet."""

    def __init__(self) -> None:
        self._waiting: list[ReachedBarrier] = []

    @property
    def waiting(self) -> bool:
        """Whether a barrier waits for the ack floor."""
        return bool(self._waiting)

    def add(self, reached: ReachedBarrier) -> None:
        """Adds a barrier. Barriers without a time are ignored."""
        if reached.barrier.time is not None:
            self._waiting.append(reached)

    def claim(self, ack_floor: int, stream_created_at: int) -> ReachedBarrier | None:
        """Returns the latest barrier that the ack floor has reached, if any, and removes it and all before it.

        Barriers of an earlier stream of the same name are dropped, because sequences begin anew in each stream.
        """
        ours = [reached for reached in self._waiting if reached.stored_at >= stream_created_at]
        self._waiting = [reached for reached in ours if reached.sequence > ack_floor]
        passed = [reached for reached in ours if reached.sequence <= ack_floor]
        return max(passed, key=lambda reached: reached.sequence, default=None)


class Covered(Protocol):
    """What a generation has already: everything up to the message `sequence` of a stream."""

    @property
    def stream_created_at(self) -> int:
        """When the stream was created, in microseconds since 1970."""

    @property
    def sequence(self) -> int:
        """The sequence of the last message that is covered."""


class Coverage:
    """Detects messages that left the stream before they were projected.

    The server moves the ack floor past messages that are gone. So this compares with the floor that was known before
    they left.
    """

    def __init__(self, known: Covered | None) -> None:
        self._stream_created_at = 0 if known is None else known.stream_created_at
        self._covered = 0 if known is None else known.sequence

    def lost(self, stream_created_at: int, first_sequence: int, ack_floor: int) -> int:
        """Returns how many messages have left the stream since the last call without having been projected.

        `stream_created_at` is in microseconds since 1970, `first_sequence` the first message that the stream still has.
        """
        if stream_created_at != self._stream_created_at:
            self._stream_created_at, self._covered = stream_created_at, 0
        missing = max(0, first_sequence - self._covered - 1)
        if not missing:
            self._covered = max(self._covered, ack_floor)
        return missing
