"""Compares the read model with the write side, and repairs what differs, order by order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.comparing.findings import Finding, Kind, counts
from query_service.application.comparing.pace import FullPace, Pace
from query_service.application.ports.checked_store import CheckedStore, DriftRecord
from query_service.application.ports.errors import DependencyDown
from query_service.application.reprojecting.reproject import Reprojected, Reprojector, Result

#: The most orders that one round repairs, unless more are allowed: this number, or this share of all orders.
MOST_REPAIRS, MOST_SHARE = 100, 0.01
_AT_ONCE = 50
_REPAIRED = frozenset({Result.REPROJECTED, Result.REMOVED, Result.PARKED, Result.UNKNOWN})
_SAVE_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The result of a round, and what became of each order that was repaired.

    `swapped_back` counts the aliases that were repaired. `problem` says why something was not repaired; "" otherwise.
    """

    comparison: Comparison
    repairs: Sequence[Reprojected] = ()
    swapped_back: int = 0
    problem: str = ""
    #: Findings of the round, with those that were seen before an alias was moved back.
    findings: Sequence[Finding] = field(default=())

    @property
    def found(self) -> Mapping[str, int]:
        """The number of findings by kind."""
        return counts(self.findings)

    @property
    def repaired(self) -> Mapping[str, int]:
        """The number of repaired findings by kind."""
        repaired = {one.order_id for one in self.repairs if one.result in _REPAIRED}
        fine = [one for one in self.findings if one.kind is not Kind.INDEX_SWAPPED and one.order_id in repaired]
        swapped = [one for one in self.findings if one.kind is Kind.INDEX_SWAPPED][: self.swapped_back]
        return counts([*fine, *swapped])

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left that differs."""
        return self.comparison.complete and self.found == self.repaired


class DriftCheck:
    """Runs rounds. `now` returns microseconds since 1970. `pace` slows repairs down."""

    def __init__(
        self,
        store: CheckedStore,
        comparison: ReadModelComparison,
        reprojector: Reprojector,
        now: Callable[[], int],
        pace: Pace | None = None,
    ) -> None:
        self._store, self._comparison, self._reprojector, self._now = store, comparison, reprojector, now
        self._pace = pace or FullPace()

    async def __call__(
        self,
        *,
        repair: bool = False,
        sample: int | None = None,
        turn: int | None = None,
        most_repairs: int | None = None,
    ) -> DriftReport:
        """Runs one round, and records it. `sample` and `turn`: see ReadModelComparison; `most_repairs`: MOST_REPAIRS.

        Raises ReadModelLags, DependencyDown, SourceRefused and ReadStoreNotReady.
        """
        await self._store.identity()
        try:
            report = await self._round(repair, most_repairs, partial(self._comparison, sample, turn))
        except DependencyDown as down:
            problem = str(down)
            await self._record(lambda record: replace(record, problem=problem))
            raise
        comparison = report.comparison
        await self._record(
            lambda record: replace(
                record,
                compared_at=comparison.compared_at,
                seconds=comparison.seconds,
                orders=comparison.orders,
                found=report.found,
                repaired=report.repaired,
                problem=report.problem,
            )
        )
        return report

    async def _round(
        self, repair: bool, most_repairs: int | None, compare: Callable[[], Awaitable[Comparison]]
    ) -> DriftReport:
        comparison = await compare()
        findings, swapped_back = list(comparison.findings), 0
        if repair and any(finding.kind is Kind.INDEX_SWAPPED for finding in findings):
            for swapped in await self._store.swapped_indices():
                await self._store.swap_back(swapped)
                swapped_back += 1
            comparison = await compare()
            findings += comparison.findings
        wrong = list(dict.fromkeys(finding.order_id for finding in findings if finding.order_id))
        if not repair or not wrong:
            return DriftReport(comparison, (), swapped_back, "", findings)
        most = max(MOST_REPAIRS, round(MOST_SHARE * comparison.orders)) if most_repairs is None else most_repairs
        if len(wrong) > most:
            return DriftReport(comparison, (), swapped_back, _too_many(len(wrong), most), findings)
        repairs: list[Reprojected] = []
        for begin in range(0, len(wrong), _AT_ONCE):
            repairs += await self._reprojector.orders(wrong[begin : begin + _AT_ONCE])
            await self._pace.rest()
        refused = [one for one in repairs if one.result is Result.REFUSED]
        problem = f"{len(refused)} orders were not repaired; {refused[0].detail}" if refused else ""
        return DriftReport(comparison, repairs, swapped_back, problem, findings)

    async def _record(self, change: Callable[[DriftRecord], DriftRecord]) -> None:
        for _ in range(_SAVE_ATTEMPTS):
            stored = await self._store.drift_record()
            if await self._store.save_drift_record(change(stored.record), stored):
                return
        raise DependencyDown(self._store.dependency, f"the record of drift checks changed {_SAVE_ATTEMPTS} times")


def _too_many(wrong: int, most: int) -> str:
    return (
        f"{wrong} orders differ, and a round repairs {most} at most: make sure that QUERY_EXPORT_ADDRESS is this read"
        f" model's source, then run `tandem drift check --repair --most {wrong}`, or rebuild the read model"
    )
