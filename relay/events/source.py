"""Declares `Source`, the port through which the relay reads events. The log, polling and an adoption implement it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.events.cursor import Cursor
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Mode:
    """How a source finds events at present. The status page and the metrics show it.

    `name` is `wal` (reading the log), `poll` or `adopt`. `reason` says why the source polls although the log was to be
    read; None if there is nothing to explain.
    """

    name: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A cursor at which nothing is half delivered. A barrier may be published there.

    `as_of` is a time in µs since 1970 by the database's clock: everything committed before it is delivered at this
    cursor. None if the source does not know such a time.
    """

    cursor: Cursor
    as_of: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in delivery order, with the cursors before the first and after the last of them.

    The cursor after `events[i]` has the text `<base>;<marks[i]>`, where `base` is the base of `before`. (A `Cursor` for
    each event would cost too much.) `reached` is the checkpoint at which the batch ends; None if it ends at none.
    `more` says whether the next read will find rows at once.
    """

    base: str
    before: Cursor
    events: Sequence[OutboxEvent]
    marks: Sequence[str]
    after: Cursor
    reached: Checkpoint | None
    more: bool


class Source(Protocol):
    """Delivers the committed events after a cursor: none lost, none repeated, each aggregate in order."""

    @property
    def mode(self) -> Mode:
        """How the source finds events now."""

    async def resume(self, cursor: Cursor) -> None:
        """Makes `cursor` the position after which the next read begins, and forgets what was read after it."""

    async def read(self, max_events: int, max_bytes: int) -> Batch:
        """Returns the next events, without waiting for any. The last of them may exceed `max_bytes`."""

    def stored(self, cursor: Cursor) -> None:
        """Tells the source that the stream holds everything up to this cursor, so the source need not keep it."""

    def idle_seconds(self) -> float:
        """Returns how long to wait before the next read. It depends on how much the last reads found."""

    def notify(self, wake: Callable[[], None]) -> None:
        """Makes the source call `wake` when events arrive, so that the next read need not wait `idle_seconds`.

        Must be called before `resume`. A source that cannot notice arrivals never calls it.
        """

    def covering(self) -> tuple[Snapshot, Sequence[int]] | None:
        """Returns what the stream holds, if the source knows it more exactly than the stored cursor says; else None.

        The stream holds everything that the snapshot sees, and in addition the listed transactions.
        """

    async def close(self) -> None:
        """Ends the source, and releases the database resources that it uses."""
