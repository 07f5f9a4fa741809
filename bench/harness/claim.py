"""A claim about speed, and what was measured for it, as one JSON object per line on standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limit:
    """What `ratio` must be: at least `bound` when `least`, else at most."""

    bound: float
    least: bool

    def holds(self, ratio: float) -> bool:
        """Whether the ratio keeps it."""
        return ratio >= self.bound if self.least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:g}"


def at_least(bound: float) -> Limit:
    """More is better."""
    return Limit(bound, least=True)


def at_most(bound: float) -> Limit:
    """Less is better."""
    return Limit(bound, least=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """`ratio` = ours / theirs, both medians; `holds` is None, with a reason, when it could not be measured."""

    claim: str
    figures: Mapping[str, Any]
    ratio: float | None
    limit: Limit
    holds: bool | None
    reason: str | None = None

    def text(self) -> str:
        """The claim's line."""
        told: dict[str, Any] = {
            "claim": self.claim,
            "figures": dict(self.figures),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "limit": str(self.limit),
            "holds": self.holds,
        }
        return json.dumps(told | ({"reason": self.reason} if self.reason else {}))


def compare(claim: str, unit: str, ours: float | None, theirs: float | None, limit: Limit, why_not: str = "") -> Claim:
    """Judges ours against theirs; None for either, or a zero, leaves the claim undecided for the reason `why_not`."""
    figures = {"unit": unit, "ours": ours, "theirs": theirs}
    if ours is None or not theirs:
        return Claim(claim, figures, None, limit, None, why_not or "one side was not measured")
    ratio = ours / theirs
    return Claim(claim, figures, ratio, limit, limit.holds(ratio))


def measured(subject: str, figures: Mapping[str, Any]) -> str:
    """The line of something measured without a limit."""
    return json.dumps({"measured": subject, "figures": dict(figures)})
