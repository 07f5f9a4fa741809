"""What this process knows of how fresh the read model is: the latest that the store or a notice said."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.application.ports.read_store import Freshness


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """How fresh an answer is. `as_of` in microseconds since 1970, None before the first barrier.

    `not_final`: it is for a time of which more may still become known.
    """

    as_of: int | None
    generation: str
    stale: bool = False
    parked: bool = False
    not_final: bool = False


class FreshnessView:
    """The latest freshness. It must be read before the documents it speaks of, never after."""

    def __init__(self) -> None:
        self._latest: Freshness | None = None

    def observe(self, freshness: Freshness | None) -> None:
        """Takes note; an older one changes nothing."""
        if freshness is not None and (self._latest is None or freshness.as_of >= self._latest.as_of):
            self._latest = freshness

    @property
    def latest(self) -> Freshness | None:
        """The latest, None before the first barrier."""
        return self._latest

    @property
    def source_epoch(self) -> int:
        """The incarnation of the source that the read model follows; 0 while unknown."""
        return 0 if self._latest is None else self._latest.source_epoch

    def info(self) -> AnswerInfo:
        """What an answer read from now on may say of itself."""
        if self._latest is None:
            return AnswerInfo(None, "")
        return AnswerInfo(self._latest.as_of, self._latest.generation)
