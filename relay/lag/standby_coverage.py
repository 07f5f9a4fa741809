"""Knows what is delivered more exactly than the stream's last checkpoint.

A cursor in log mode says how many events after its checkpoint are delivered. If the number of committed rows that the
checkpoint does not cover is the same, they are the same rows. Then everything that this snapshot sees is published.
Until a later checkpoint says more, only what the snapshot does not see can be unpublished.
"""

from __future__ import annotations

from relay.events.cursor import Cursor, PollCursor, WalCursor
from relay.events.snapshot import Snapshot


class StandbyCoverage:
    """Keeps the last snapshot that was found to be delivered."""

    def __init__(self) -> None:
        self._delivered: tuple[int, Snapshot] | None = None

    def learn(self, end: Cursor, rows: int, now: Snapshot) -> bool:
        """Compares the number of uncovered rows with the cursor; returns whether all of them are delivered.

        `rows`: how many rows `now` sees that the checkpoint of `end` does not cover.
        """
        if not isinstance(end, WalCursor) or rows != end.behind:
            return False
        self._delivered = end.epoch, now
        return True

    def better_than(self, end: Cursor) -> PollCursor | None:
        """A cursor that covers more than the checkpoint of `end` does, if one is known."""
        if not isinstance(end, WalCursor) or self._delivered is None:
            return None
        epoch, snapshot = self._delivered
        if epoch != end.epoch or not snapshot.includes(end.checkpoint.snapshot):
            return None
        return PollCursor(epoch, snapshot)
