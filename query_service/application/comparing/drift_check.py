"""Runs rounds of the check for drift: where readers are sent to, and then each generation that projectors feed.

While a rebuild is not over there are two generations. A reader may get the one today and the other tomorrow, so both
are compared and repaired, each behind barriers of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from query_service.application.comparing.findings import Finding, Kind, counts
from query_service.application.comparing.generation_check import GenerationCheck, GenerationReport
from query_service.application.ports.checked_store import CheckedStore, DriftRecord, SwappedIndex
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady

_SAVE_ATTEMPTS = 20
_NOT_COMPARED = "nothing was compared, because readers are sent to an index without the documents"
_UNKNOWN_RIGHT = "it is not known which generation must answer readers; move the alias to it by hand"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The result of a round: what is wrong with aliases, and a report of each generation that was compared.

    The generation that answers readers is the first. `swapped_back` counts the aliases that were repaired.
    `passed_over` says of other generations why they were not compared. `problems` name what could not be compared or
    repaired although it should have been.
    """

    generations: Sequence[GenerationReport] = ()
    swapped: Sequence[Finding] = ()
    swapped_back: int = 0
    passed_over: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def findings(self) -> Sequence[Finding]:
        """All findings. A generation's come after those of the ones before it."""
        return [*self.swapped, *(finding for one in self.generations for finding in one.comparison.findings)]

    @property
    def found(self) -> Mapping[str, int]:
        """The number of findings by kind."""
        return counts(self.findings)

    @property
    def repaired(self) -> Mapping[str, int]:
        """The number of repaired findings by kind."""
        total = Counter(counts(self.swapped[: self.swapped_back]))
        for one in self.generations:
            total.update(one.repaired)
        return dict(sorted(total.items()))

    @property
    def seconds(self) -> float:
        """How long the comparisons took."""
        return sum(one.comparison.seconds for one in self.generations)

    @property
    def problem(self) -> str:
        """All problems in one text; "" without any."""
        return "; ".join(self.problems)

    @property
    def is_complete(self) -> bool:
        """Whether all orders were compared, of every generation that was compared."""
        return bool(self.generations) and all(one.comparison.complete for one in self.generations)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left that differs."""
        return self.is_complete and not self.problems and self.found == self.repaired


class DriftCheck:
    """Runs rounds. `store` is the one that readers see. `now` returns microseconds since 1970.

    `fed` returns the generations that projectors feed, the one that answers readers first, each with the reason why it
    is not compared; "" when it is. `check_of` returns the check of a generation.
    """

    def __init__(
        self,
        store: CheckedStore,
        fed: Callable[[], Awaitable[Mapping[str, str]]],
        check_of: Callable[[str], GenerationCheck],
        now: Callable[[], int],
    ) -> None:
        self._store, self._fed, self._check_of, self._now = store, fed, check_of, now

    async def __call__(
        self,
        *,
        repair: bool = False,
        sample: int | None = None,
        turn: int | None = None,
        most_repairs: int | None = None,
    ) -> DriftReport:
        """Runs one round, and records it. `sample`, `turn` and `most_repairs`: see GenerationCheck.

        Raises ReadModelLags, DependencyDown, SourceRefused and ReadStoreNotReady.
        """

        async def check(generation: str) -> GenerationReport:
            return await self._check_of(generation)(repair=repair, sample=sample, turn=turn, most_repairs=most_repairs)

        try:
            report = await self._round(repair, check)
        except DependencyDown as down:
            problem = str(down)
            await self._record(lambda record: replace(record, problem=problem))
            raise
        await self._record(lambda record: _recorded(record, report))
        return report

    async def _round(self, repair: bool, check: Callable[[str], Awaitable[GenerationReport]]) -> DriftReport:
        swapped = await self._store.swapped_indices()
        named = [Finding(Kind.INDEX_SWAPPED, "", 0, _swap_text(one)) for one in swapped]
        known = [one for one in swapped if one.right]
        if swapped and (not repair or len(known) < len(swapped)):
            return DriftReport(swapped=named, problems=[_NOT_COMPARED])
        for one in known:
            await self._store.swap_back(one)
        reports: list[GenerationReport] = []
        passed_over: dict[str, str] = {}
        problems: list[str] = []
        for generation, reason in (await self._fed()).items():
            try:
                if reason:
                    raise ReadStoreNotReady(reason)
                reports.append(await check(generation))
            except ReadStoreNotReady as not_ready:
                passed_over[generation] = str(not_ready)
            except DependencyDown as down:
                if not reports and not swapped:
                    raise
                # What was found before it must be told all the same. A generation that is gone by now is no problem.
                if generation in await self._fed():
                    problems.append(f"generation {generation} was not compared: {down}")
        if not reports and not swapped:
            raise ReadStoreNotReady("; ".join(passed_over.values()))
        problems += [f"generation {one.generation}: {one.problem}" for one in reports if one.problem]
        return DriftReport(reports, named, len(known), passed_over, problems)

    async def _record(self, change: Callable[[DriftRecord], DriftRecord]) -> None:
        for _ in range(_SAVE_ATTEMPTS):
            stored = await self._store.drift_record()
            if await self._store.save_drift_record(change(stored.record), stored):
                return
        raise DependencyDown(self._store.dependency, f"the record of drift checks changed {_SAVE_ATTEMPTS} times")


def _recorded(record: DriftRecord, report: DriftReport) -> DriftRecord:
    """Returns the record with the round. The orders and the time are those of the generation that answers readers."""
    noted = replace(record, found=report.found, repaired=report.repaired, problem=report.problem)
    if not report.generations:
        return noted
    comparison = report.generations[0].comparison
    return replace(noted, compared_at=comparison.compared_at, seconds=report.seconds, orders=comparison.orders)


def _swap_text(swapped: SwappedIndex) -> str:
    right = f"the documents are in {swapped.right}" if swapped.right else _UNKNOWN_RIGHT
    return f"{swapped.alias} is {swapped.found}; {right}"
