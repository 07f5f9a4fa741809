"""Remembers how fresh the read model is: the latest that the store or a notice reported."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.application.ports.read_store import Freshness


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """How fresh an answer is. `as_of` in microseconds since 1970, None before the first barrier.

    `not_final`: the answer is for a time about which more may still become known.
    """

    as_of: int | None
    generation: str
    stale: bool = False
    parked: bool = False
    not_final: bool = False


class FreshnessView:
    """The latest freshness. Read it before the documents that it describes, never after."""

    def __init__(self) -> None:
        self._latest: Freshness | None = None

    def observe(self, freshness: Freshness | None) -> None:
        """Records a freshness; an older one changes nothing."""
        if freshness is not None and (self._latest is None or freshness.as_of >= self._latest.as_of):
            self._latest = freshness

    @property
    def latest(self) -> Freshness | None:
        """The latest, None before the first barrier."""
        return self._latest

    @property
    def source_epoch(self) -> int:
        """The source epoch that the read model follows; 0 while unknown."""
        return 0 if self._latest is None else self._latest.source_epoch

    def info(self) -> AnswerInfo:
        """Returns what an answer that is read from now on may report about itself."""
        if self._latest is None:
            return AnswerInfo(None, "")
        return AnswerInfo(self._latest.as_of, self._latest.generation)
