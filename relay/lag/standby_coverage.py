"""What a standby knows to be delivered, more exactly than the stream's last checkpoint says it.

A cursor of the log says how many events behind its checkpoint are delivered. When there are just as many committed rows
that the checkpoint does not cover, they are the same: then everything is delivered that the snapshot of this look sees,
and until a later checkpoint says more, only what that snapshot does not see can be unpublished.
"""

from __future__ import annotations

from relay.events.cursor import Cursor, PollCursor, WalCursor
from relay.events.snapshot import Snapshot


class StandbyCoverage:
    """Keeps the last snapshot that was found to be delivered."""

    def __init__(self) -> None:
        self._delivered: tuple[int, Snapshot] | None = None

    def learn(self, end: Cursor, rows: int, now: Snapshot) -> bool:
        """`rows` that `now` sees are not covered by the checkpoint of `end`; whether all of them are delivered."""
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
