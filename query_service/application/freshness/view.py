"""Keeps how fresh the read model is, as far as this process knows from the store and from notices.

During a rebuild there are two generations, and each has its own freshness. An answer must not claim more than its
generation has. So the claims are noted before the read, and the answer's generation selects one of them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from query_service.application.ports.read_store import Freshness, Standing


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


@dataclass(frozen=True, slots=True)
class Claims:
    """How fresh each generation was at a moment. Answers read later are at least as fresh."""

    by_generation: Mapping[str, Freshness] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, generation: str) -> Freshness | None:
        """Returns the freshness of a generation; of the least fresh one when it is unknown (""). None: no claim."""
        if generation:
            return self.by_generation.get(generation)
        return min(self.by_generation.values(), key=lambda freshness: freshness.as_of, default=None)

    def info(self, generation: str) -> AnswerInfo:
        """Returns the freshness of an answer that this generation gave; "" when that is unknown."""
        freshness = self.of(generation)
        return AnswerInfo(None, generation) if freshness is None else AnswerInfo(freshness.as_of, freshness.generation)


class FreshnessView:
    """Keeps the latest known freshness of each generation.

    Take the claims before reading the documents. Taken after them, they could claim more than the documents show.
    """

    def __init__(self) -> None:
        self._claims = Claims()
        #: The generation that answered readers when the store was last asked; "" while unknown.
        self.serving = ""

    def observe(self, freshness: Freshness | None) -> None:
        """Keeps `freshness` unless it is older than the latest of its generation, or None."""
        if freshness is None:
            return
        known = self._claims.by_generation.get(freshness.generation)
        if known is None or freshness.as_of >= known.as_of:
            self._claims = Claims({**self._claims.by_generation, freshness.generation: freshness})

    def follow(self, standing: Standing) -> None:
        """Keeps what the store says, and forgets generations that it no longer has."""
        self.serving = standing.serving
        for freshness in standing.freshness:
            self.observe(freshness)
        kept = {name: one for name, one in self._claims.by_generation.items() if name in standing.generations}
        self._claims = Claims(kept)

    def claims(self) -> Claims:
        """Returns the claims for answers that are read after this call."""
        return self._claims

    def of(self, generation: str) -> Freshness | None:
        """Returns the latest known freshness of a generation; see Claims."""
        return self._claims.of(generation)

    @property
    def latest(self) -> Freshness | None:
        """The latest known freshness of the generation that answers readers; None before its first barrier."""
        return self._claims.of(self.serving)

    @property
    def source_epoch(self) -> int:
        """The source epoch that the read model is at; 0 while unknown."""
        return 0 if self.latest is None else self.latest.source_epoch

    def info(self) -> AnswerInfo:
        """Returns the freshness of an answer of the generation that answers readers, read after this call."""
        return self._claims.info(self.serving)
