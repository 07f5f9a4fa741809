"""Compares what was delivered with what was committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """`inverted`: events that did not follow their aggregate's previous version. `invented`: events never committed."""

    delivered: int
    lost: int
    repeated: int
    inverted: int
    invented: int

    @property
    def clean(self) -> bool:
        """Whether everything was delivered once and in order."""
        return not (self.lost or self.repeated or self.inverted or self.invented)


def judge(committed: Iterable[tuple[str, int]], delivered: Sequence[tuple[str, int]]) -> Verdict:
    """Compares (aggregate, version) pairs; `delivered` is in delivery order, and versions count from 1 without gaps."""
    wanted, counts = set(committed), Counter(delivered)
    at: dict[str, int] = {}
    inverted = 0
    for aggregate, version in delivered:
        inverted += version != at.get(aggregate, 0) + 1
        at[aggregate] = version
    return Verdict(
        delivered=len(delivered),
        lost=len(wanted - counts.keys()),
        repeated=len(delivered) - len(counts),
        inverted=inverted,
        invented=len(counts.keys() - wanted),
    )
