"""Runs the contenders of a comparison in rounds.

Every contender runs once per round, so that a slow minute of the machine slows all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness.progress import tell

Figures = Mapping[str, float]
Run = Callable[[], Awaitable[Figures]]


class NotMeasured(Exception):  # noqa: N818 - read as the outcome it names
    """A run gave no figures. The message says in one sentence why."""


@dataclass(slots=True)
class Results:
    """The figures of every run, by contender. `failures` holds, by contender, why it could not be measured."""

    runs: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, others: Results) -> None:
        """Adds the figures of other contenders."""
        self.runs |= others.runs
        self.failures |= others.failures

    def median(self, contender: str, figure: str) -> float | None:
        """Returns the median of a figure over the contender's runs, or None if no run has the figure."""
        values = [run[figure] for run in self.runs.get(contender, ()) if figure in run]
        return statistics.median(values) if values else None

    def summary(self, contender: str) -> dict[str, object]:
        """Returns the number of runs, and for each figure its least, median and greatest value."""
        runs: Sequence[Figures] = self.runs.get(contender, ())
        names = dict.fromkeys(name for run in runs for name in run)
        told: dict[str, object] = {"runs": len(runs)}
        for name in names:
            values = sorted(run[name] for run in runs if name in run)
            told[name] = [_short(values[0]), _short(statistics.median(values)), _short(values[-1])]
        return told

    def why_not(self, *contenders: str) -> str:
        """Returns in one text why these contenders have no figures; "" if all have."""
        return "; ".join(f"{one}: {self.failures[one]}" for one in contenders if one in self.failures)


async def interleave(contenders: Mapping[str, Run], rounds: int, kind: str) -> Results:
    """Runs each contender `rounds` times. A contender that raises NotMeasured is left out of the later rounds."""
    results = Results()
    for number in range(1, rounds + 1):
        for name, run in contenders.items():
            if name in results.failures:
                continue
            try:
                figures = await run()
            except NotMeasured as reason:
                results.failures[name] = str(reason)
                tell(f"{kind} {number}/{rounds} {name}: not measured: {reason}")
                continue
            results.runs.setdefault(name, []).append(figures)
            shown = " ".join(f"{figure}={_short(value)}" for figure, value in figures.items())
            tell(f"{kind} {number}/{rounds} {name}: {shown}")
    return results


def _short(value: float) -> float:
    return round(value) if abs(value) >= 1_000 else float(f"{value:.4g}")
