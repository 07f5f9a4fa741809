"""Declares the port that the log, polling and an adoption implement: where events come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.events.cursor import Cursor
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Mode:
    """How events are found now.

    `name` is wal, poll or adopt. `reason` says why it is not the wanted one; None if it is.
    """

    name: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A cursor with nothing half delivered.

    `as_of`: everything committed before that source time (µs since 1970, the database's clock) is delivered at this
    cursor; None if the source does not know.
    """

    cursor: Cursor
    as_of: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in delivery order, with the cursors before the first and after the last of them.

    The text of the cursor after `events[i]` is `base` (that of `before`) with `marks[i]`; a value for each event would
    cost too much. `reached` is set if the batch ends on a checkpoint. `more`: the next read will find rows at once.
    """

    base: str
    before: Cursor
    events: Sequence[OutboxEvent]
    marks: Sequence[str]
    after: Cursor
    reached: Checkpoint | None
    more: bool


class Source(Protocol):
    """Delivers committed events after a cursor: none lost, none twice, those of an aggregate in their order."""

    @property
    def mode(self) -> Mode:
        """How events are found now."""

    async def resume(self, cursor: Cursor) -> None:
        """Returns to `cursor` and forgets what was read after it."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the next events without waiting; one event at most exceeds the byte limit."""

    def stored(self, cursor: Cursor) -> None:
        """Learns that the stream holds everything up to this cursor, so that the source need not keep it."""

    def idle_seconds(self) -> float:
        """How long to wait before the next read, after what the last ones found."""

    def notify(self, wake: Callable[[], None]) -> None:
        """Once resumed, calls `wake` when there is something to read before `idle_seconds` are over."""

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what is stored, as exactly as the source knows: a snapshot, and further transactions.

        None if the stored cursor says as much.
        """

    async def close(self) -> None:
        """Releases what the source holds in the database."""
