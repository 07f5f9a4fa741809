"""Lets a standby know more exactly what is delivered than the stream's last checkpoint says.

A cursor of the log says how many events were delivered after its checkpoint. A standby counts the committed rows that
the checkpoint does not cover. If the two numbers are equal, these rows are the delivered events. Then everything that
the snapshot of the count sees is published, and from then on only rows that it does not see can be unpublished. A later
checkpoint that covers more replaces this knowledge.
"""

from __future__ import annotations

from relay.events.cursor import Cursor, PollCursor, WalCursor
from relay.events.snapshot import Snapshot


class StandbyCoverage:
    """Keeps the last snapshot of which it is known that everything it sees is delivered."""

    def __init__(self) -> None:
        self._delivered: tuple[int, Snapshot] | None = None

    def learn(self, end: Cursor, rows: int, now: Snapshot) -> bool:
        """Compares the number of uncovered rows with the stream's last cursor `end`.

        `rows` is the number of rows that `now` sees and that the checkpoint of `end` does not cover. Returns whether
        all of them are delivered.
        """
        if not isinstance(end, WalCursor) or rows != end.behind:
            return False
        self._delivered = end.epoch, now
        return True

    def better_than(self, end: Cursor) -> PollCursor | None:
        """Returns a known cursor that covers all that the checkpoint of `end` covers, or more; None without one."""
        if not isinstance(end, WalCursor) or self._delivered is None:
            return None
        epoch, snapshot = self._delivered
        if epoch != end.epoch or not snapshot.includes(end.checkpoint.snapshot):
            return None
        return PollCursor(epoch, snapshot)
