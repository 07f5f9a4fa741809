"""Interleaves runs: every contender runs once per round, so a slow minute of the machine slows them all."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness.progress import tell

Figures = Mapping[str, float]
Run = Callable[[], Awaitable[Figures]]


class NotMeasured(Exception):  # noqa: N818 - read as the outcome it names
    """A run that gave no figures; the message says why, in one sentence."""


@dataclass(slots=True)
class Results:
    """Figures of every run, by contender; `failures`: why a contender has none."""

    runs: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, contender: str, figure: str) -> float | None:
        """Returns the median of a figure over the contender's runs; None when there are none."""
        values = [run[figure] for run in self.runs.get(contender, ()) if figure in run]
        return statistics.median(values) if values else None

    def summary(self, contender: str) -> dict[str, object]:
        """Returns [min, median, max] per figure."""
        runs: Sequence[Figures] = self.runs.get(contender, ())
        names = dict.fromkeys(name for run in runs for name in run)
        told: dict[str, object] = {"runs": len(runs)}
        for name in names:
            values = sorted(run[name] for run in runs if name in run)
            told[name] = [_short(values[0]), _short(statistics.median(values)), _short(values[-1])]
        return told

    def why_not(self, *contenders: str) -> str:
        """Returns the reasons why contenders have no figures."""
        return "; ".join(f"{one}: {self.failures[one]}" for one in contenders if one in self.failures)


async def interleave(contenders: Mapping[str, Run], rounds: int, kind: str) -> Results:
    """Runs each contender `rounds` times. One that cannot be measured is reported and left out of later rounds."""
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
