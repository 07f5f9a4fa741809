"""Keeps how fresh the read model is, as far as this process knows from the store and from notices."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.application.ports.read_store import Freshness


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """How fresh an answer is. `as_of` is in microseconds since 1970; None before the first barrier.

    `parked`: a version after the answer's is parked. `not_final`: the answer is for a time in the past, and a change
    recorded before that time may still arrive.
    """

    as_of: int | None
    generation: str
    stale: bool = False
    parked: bool = False
    not_final: bool = False


class FreshnessView:
    """Keeps the latest known freshness.

    Read it before the documents and report it with them. Read after them, it could claim more than they show.
    """

    def __init__(self) -> None:
        self._latest: Freshness | None = None

    def observe(self, freshness: Freshness | None) -> None:
        """Keeps `freshness` unless it is older than the latest, or None."""
        if freshness is not None and (self._latest is None or freshness.as_of >= self._latest.as_of):
            self._latest = freshness

    @property
    def latest(self) -> Freshness | None:
        """The latest known freshness; None before the first barrier."""
        return self._latest

    @property
    def source_epoch(self) -> int:
        """The source epoch that the read model is at; 0 while unknown."""
        return 0 if self._latest is None else self._latest.source_epoch

    def info(self) -> AnswerInfo:
        """Returns the freshness of an answer that is read after this call."""
        if self._latest is None:
            return AnswerInfo(None, "")
        return AnswerInfo(self._latest.as_of, self._latest.generation)
