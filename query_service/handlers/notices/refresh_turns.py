"""Decides which of several projectors refreshes the index for all.

A request may reach any projector. The projector that began the last refresh holds the turn, and the others forward
requests to it. So one process keeps the pause between refreshes. There is no election. If the turn was not used for a
while, or its holder does not answer, the projector that gets the next request takes the turn. If two take it at the
same moment, each learns of the other, and the one with the greater name gives it up. This costs one refresh too many.
"""

from __future__ import annotations

from collections.abc import Callable

#: The least time between the starts of two refreshes.
LEAST_PAUSE_SECONDS = 0.05
#: A turn that is not used for so long expires.
TURN_SECONDS = 10.0
#: A holder counts as dead when it does not answer in time and has begun no refresh for so long.
SILENT_SECONDS = 1.0


class RefreshTurns:
    """Keeps what the projector named `own` knows of the turn.

    `lasts` is the number of seconds after which an unused turn expires. `clock` returns seconds.
    """

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
