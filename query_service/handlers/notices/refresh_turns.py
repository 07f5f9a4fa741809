"""Decides which of several projectors refreshes the index for all.

Requests reach any projector. The one that began a refresh last holds the turn, and the others forward requests to it,
so one place keeps refreshes apart. Nobody is elected. If the turn has not been used for a while, or its holder does not
answer, the projector with the next request takes it. If two do at the same moment, each learns of the other, and the
one with the greater name gives way, at the price of one refresh too many.
"""

from __future__ import annotations

from collections.abc import Callable

#: Two refreshes begin at least so far apart.
LEAST_PAUSE_SECONDS = 0.05
#: A turn that is not used for so long is over.
TURN_SECONDS = 10.0
#: Whoever does not answer in time and began nothing for so long is not slow but away.
SILENT_SECONDS = 1.0


class RefreshTurns:
    """What one projector, called `own`, knows of turns. `clock` in seconds."""

    def __init__(self, own: str, clock: Callable[[], float], *, lasts: float = TURN_SECONDS) -> None:
        self.own = own
        self._clock, self._lasts = clock, lasts
        self._holder: str | None = None
        self._used_at = 0.0

    @property
    def elsewhere(self) -> str | None:
        """The other projector that holds the turn; None if this one may take it."""
        holder = self._present()
        return None if holder == self.own else holder

    def begun(self, projector: str) -> None:
        """Records that a projector, perhaps this one, began a refresh."""
        holder = self._present()
        if holder is None or projector <= holder:
            self._holder, self._used_at = projector, self._clock()

    def gone(self, projector: str) -> None:
        """Records that a projector no longer exists."""
        if self._holder == projector:
            self._holder = None

    def late(self, projector: str) -> None:
        """Records that a projector did not answer in time."""
        if self._clock() - self._used_at >= SILENT_SECONDS:
            self.gone(projector)

    def _present(self) -> str | None:
        return self._holder if self._clock() - self._used_at < self._lasts else None
