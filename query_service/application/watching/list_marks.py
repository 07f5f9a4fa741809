"""Knows from which place of the stream on a watch continues a list without a gap."""

from __future__ import annotations

from collections.abc import Iterable

from query_service.application.ports.read_store import Freshness
from query_service.application.watching.resume_token import ResumePoint


class ListMarks:
    """Keeps a recorded freshness of the store, and which changes up to it are parked.

    A list shows everything up to the freshness of searches, except what is parked. A watch from the list still owes the
    parked changes. They are only known for the recorded freshness, so the token is never for a later place.
    """

    def __init__(self) -> None:
        self._known: Freshness | None = None
        self._parked: tuple[int, ...] = ()
        #: The token that was made last, and for which freshness. Many lists have the same one.
        self._last: tuple[Freshness | None, str] = None, ""

    def observe(self, known: Freshness | None, parked: Iterable[int]) -> None:
        """Keeps a freshness, and the sequences of the parked changes, which were read after it."""
        self._known, self._parked = known, tuple(sorted(parked))
        self._last = None, ""

    def token(self, listed: Freshness | None) -> str:
        """Returns the resume token of a list that is at least as fresh as `listed`; "" while that is not known."""
        known, (last, token) = self._known, self._last
        if listed is None or known is None or listed.stream_created_at != known.stream_created_at:
            return ""
        if listed is last:
            return token
        position = min(listed.sequence, known.sequence)
        owed = tuple(sequence for sequence in self._parked if sequence <= position)
        token = ResumePoint(known.stream_created_at, position, owed).token()
        self._last = listed, token
        return token
