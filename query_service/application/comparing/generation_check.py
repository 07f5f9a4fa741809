"""Compares one generation of the read model with the write side, and repairs what differs, order by order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.comparing.findings import counts
from query_service.application.comparing.pace import FullPace, Pace
from query_service.application.ports.checked_store import CheckedStore
from query_service.application.reprojecting.reproject import Reprojected, Reprojector, Result

#: The most orders of a generation that one round repairs, unless more are allowed: this number, or this share of all.
MOST_REPAIRS, MOST_SHARE = 100, 0.01
_AT_ONCE = 50
_REPAIRED = frozenset({Result.REPROJECTED, Result.REMOVED, Result.PARKED, Result.UNKNOWN})


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """What a round found in a generation, and what became of each order that was repaired.

    `problem` says why something was not repaired; "" otherwise.
    """

    generation: str
    comparison: Comparison
    repairs: Sequence[Reprojected] = ()
    problem: str = ""

    @property
    def found(self) -> Mapping[str, int]:
        """The number of findings by kind."""
        return counts(self.comparison.findings)

    @property
    def repaired(self) -> Mapping[str, int]:
        """The number of repaired findings by kind."""
        repaired = {one.order_id for one in self.repairs if one.result in _REPAIRED}
        return counts(finding for finding in self.comparison.findings if finding.order_id in repaired)


class GenerationCheck:
    """Checks the generation of this name, which is all that `store` has. `pace` slows repairs down."""

    def __init__(
        self,
        generation: str,
        store: CheckedStore,
        comparison: ReadModelComparison,
        reprojector: Reprojector,
        pace: Pace | None = None,
    ) -> None:
        self._generation, self._store = generation, store
        self._comparison, self._reprojector = comparison, reprojector
        self._pace = pace or FullPace()

    async def __call__(
        self, *, repair: bool, sample: int | None = None, turn: int | None = None, most_repairs: int | None = None
    ) -> GenerationReport:
        """Compares all orders; with `repair` it projects orders that differ again.

        `sample` and `turn`: see ReadModelComparison; `most_repairs`: MOST_REPAIRS.

        Raises ReadModelLags, DependencyDown, SourceRefused, and ReadStoreNotReady when another release feeds it.
        """
        await self._store.identity()
        comparison = await self._comparison(sample, turn)
        wrong = list(dict.fromkeys(finding.order_id for finding in comparison.findings))
        if not repair or not wrong:
            return GenerationReport(self._generation, comparison)
        most = max(MOST_REPAIRS, round(MOST_SHARE * comparison.orders)) if most_repairs is None else most_repairs
        if len(wrong) > most:
            return GenerationReport(self._generation, comparison, problem=_too_many(len(wrong), most))
        repairs: list[Reprojected] = []
        for begin in range(0, len(wrong), _AT_ONCE):
            repairs += await self._reprojector.orders(wrong[begin : begin + _AT_ONCE])
            await self._pace.rest()
        refused = [one for one in repairs if one.result is Result.REFUSED]
        problem = f"{len(refused)} orders were not repaired; {refused[0].detail}" if refused else ""
        return GenerationReport(self._generation, comparison, repairs, problem)


def _too_many(wrong: int, most: int) -> str:
    return (
        f"{wrong} orders differ, and a round repairs {most} at most: make sure that QUERY_EXPORT_ADDRESS is this read"
        f" model's source, then run `tandem drift check --repair --most {wrong}`, or rebuild the read model"
    )
