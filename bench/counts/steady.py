"""Decides when a figure has been counted often enough to be believed.

Most of what a machine does beside the counted work only adds: a barrier, a check of the read model, a split page of an
index. Repeating soon meets the work alone. So the smallest sample counts, as soon as it has been seen SEEN times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

#: A figure by its name; None where this system cannot count it. The first ones decide which sample is smaller.
Figures = Mapping[str, int | None]
_Sample = tuple[tuple[str, int | None], ...]

SEEN = 3
#: After so many samples a smaller one that was seen less often than SEEN times is taken for chance.
ENOUGH = 12
MOST = 24


class NotSteady(Exception):  # noqa: N818 - says what happened
    """No sample was seen often enough, so the counts depend on chance. The message lists what was seen."""


class Samples:
    """The samples so far of several kinds of work, by the name of the work."""

    def __init__(self, *names: str) -> None:
        """`names` are kinds of work that must be counted; others may be added."""
        self._seen: dict[str, Counter[_Sample]] = {name: Counter() for name in names}

    def add(self, name: str, figures: Figures) -> None:
        """Adds a sample."""
        self._seen.setdefault(name, Counter())[tuple(figures.items())] += 1

    @property
    def steady(self) -> bool:
        """Whether each kind of work has been counted often enough."""
        return all(seen and _is_steady(seen) for seen in self._seen.values())

    def figures(self) -> dict[str, Figures]:
        """Returns the figures of each kind of work. Raises NotSteady."""
        found: dict[str, Figures] = {}
        for name, seen in self._seen.items():
            if not (often := [sample for sample, times in seen.items() if times >= SEEN]):
                listed = "; ".join(f"{times} times {dict(sample)}" for sample, times in seen.most_common())
                raise NotSteady(f"{name} was not counted {SEEN} times alike: {listed or 'never'}")
            found[name] = dict(_smallest(often))
        return found


def _is_steady(seen: Counter[_Sample]) -> bool:
    least = SEEN if seen.total() < ENOUGH else 0
    return max(seen.values()) >= SEEN and seen[_smallest(seen)] >= least


def _smallest(samples: Iterable[_Sample]) -> _Sample:
    return min(samples, key=lambda sample: [value or 0 for _, value in sample])
