"""Defines claims about speed and compares them with what was measured. Each is printed as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound for the ratio of a claim. The ratio must be at least `bound` if `least` is true, otherwise at most."""

    bound: float
    least: bool

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is within the limit."""
        return ratio >= self.bound if self.least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:g}"


def at_least(bound: float) -> Limit:
    """Returns a limit that the ratio must not fall below. More is better."""
    return Limit(bound, least=True)


def at_most(bound: float) -> Limit:
    """Returns a limit that the ratio must not exceed. Less is better."""
    return Limit(bound, least=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence about speed, what was measured for it, and whether it is true.

    `ratio` is our median divided by theirs. If one of them could not be measured, `ratio` and `holds` are None, and
    `reason` says why.
    """

    claim: str
    figures: Mapping[str, Any]
    ratio: float | None
    limit: Limit
    holds: bool | None
    reason: str | None = None

    def text(self) -> str:
        """Returns the claim as a line of JSON."""
        told: dict[str, Any] = {
            "claim": self.claim,
            "figures": dict(self.figures),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "limit": str(self.limit),
            "holds": self.holds,
        }
        return json.dumps(told | ({"reason": self.reason} if self.reason else {}))


def compare(claim: str, unit: str, ours: float | None, theirs: float | None, limit: Limit, why_not: str = "") -> Claim:
    """Judges a claim by `ours / theirs`. If one is None or `theirs` is 0, it is undecided, for the reason `why_not`."""
    figures = {"unit": unit, "ours": ours, "theirs": theirs}
    if ours is None or not theirs:
        return Claim(claim, figures, None, limit, None, why_not or "one side was not measured")
    ratio = ours / theirs
    return Claim(claim, figures, ratio, limit, limit.holds(ratio))


def compare_worst(
    claim: str, unit: str, pairs: Mapping[str, tuple[float | None, float | None]], limit: Limit, why_not: str = ""
) -> Claim:
    """Judges a claim by the worst of several ratios `ours / theirs`, by what each was measured with.

    If one of the values is None or the second is 0, the claim is undecided, for the reason `why_not`.
    """
    ratios = {name: ours / theirs for name, (ours, theirs) in pairs.items() if ours is not None and theirs}
    each = {name: {"ours": ours, "theirs": theirs} for name, (ours, theirs) in pairs.items()}
    if len(ratios) < len(pairs):
        missing = ", ".join(name for name in pairs if name not in ratios)
        return Claim(claim, {"unit": unit, "each": each}, None, limit, None, why_not or f"not measured: {missing}")
    worst = (min if limit.least else max)(ratios, key=lambda name: ratios[name])
    figures = {"unit": unit, **each[worst], "worst": worst, "each": each}
    return Claim(claim, figures, ratios[worst], limit, limit.holds(ratios[worst]))


def measured(subject: str, figures: Mapping[str, Any]) -> str:
    """Returns figures that have no limit as a line of JSON."""
    return json.dumps({"measured": subject, "figures": dict(figures)})
