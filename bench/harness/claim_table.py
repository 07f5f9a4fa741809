"""Shows the claims of several benches in one table, and what is missing for those that are undecided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

#: In place of the limit of a comparison that is only told.
NO_LIMIT = "none"
HOLDS = {True: "yes", False: "NO", None: "–"}


@dataclass(frozen=True, slots=True)
class Told:
    """A claim as a bench has printed it, and the bench's name."""

    bench: str
    claim: Mapping[str, Any]

    @property
    def holds(self) -> bool | None:
        """Whether the claim is true; None if it is undecided."""
        holds: bool | None = self.claim["holds"]
        return holds


def claim_table(told: Iterable[Told]) -> Table:
    """Returns a table with a row per claim. `ours` and `theirs` are the medians whose ratio is judged."""
    table = Table(title="Claims", title_justify="left")
    for name in ("bench", "claim"):
        table.add_column(name, overflow="fold")
    for name in ("ours", "theirs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("limit", no_wrap=True)
    table.add_column("holds")
    before = ""
    for one in told:
        figures = one.claim["figures"]
        worst = f" (worst at {figures['worst']})" if "worst" in figures else ""
        table.add_row(
            one.bench if one.bench != before else "",
            f"{one.claim['claim']}{worst}",
            _number(figures.get("ours")),
            _number(figures.get("theirs")),
            str(figures.get("unit", "")),
            _number(one.claim["ratio"]),
            one.claim["limit"] if one.holds is not None or one.claim["ratio"] is None else NO_LIMIT,
            HOLDS[one.holds],
            style="bold red" if one.holds is False else None,
        )
        before = one.bench
    return table


def missing(told: Iterable[Told]) -> dict[str, Sequence[str]]:
    """Returns why claims are undecided, and which ones by each reason."""
    found: dict[str, list[str]] = {}
    for one in told:
        if one.holds is None:
            found.setdefault(one.claim.get("reason", "the bench gives no reason"), []).append(one.claim["claim"])
    return dict(found)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
