"""Which of several projectors refreshes the index for all.

Requests reach any projector. The one that began a refresh last has the turn: the others hand requests on to it, so that
one place keeps refreshes apart. Nobody is elected. When the turn has not been used for a while, or who has it does not
answer, whoever gets the next request takes it; if two do at the same moment, each hears of the other and the greater
name gives way, at the price of one refresh too many.
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
        """Who else has the turn; None when it is ours to take."""
        holder = self._present()
        return None if holder == self.own else holder

    def begun(self, projector: str) -> None:
        """A projector, perhaps this one, began a refresh."""
        holder = self._present()
        if holder is None or projector <= holder:
            self._holder, self._used_at = projector, self._clock()

    def gone(self, projector: str) -> None:
        """A projector does not exist any more."""
        if self._holder == projector:
            self._holder = None

    def late(self, projector: str) -> None:
        """A projector did not answer in time."""
        if self._clock() - self._used_at >= SILENT_SECONDS:
            self.gone(projector)

    def _present(self) -> str | None:
        return self._holder if self._clock() - self._used_at < self._lasts else None
