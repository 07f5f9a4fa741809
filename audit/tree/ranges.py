"""Says which ranges of leaves a proof is about. The hash over each range is one part of the proof."""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """The leaves from `start` to before `end`."""

    start: int
    end: int


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Returns the ranges whose hashes lead from a leaf to the root, lowest first. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    found: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_leaves(end - start)
        if index < middle:
            found.append(Range(middle, end))
            end = middle
        else:
            found.append(Range(start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """Returns the ranges whose hashes lead to the roots of both trees, lowest first. Raises ValueError.

    If the first `old` leaves are one of the new tree's own subtrees, their range is left out: it is the old root.
    """
    if not 0 < old <= new:
        raise ValueError(f"no tree of {old} leaves grows into one of {new}")
    found: list[Range] = []
    start, end = 0, new
    while end > old:
        middle = start + _left_leaves(end - start)
        if old <= middle:
            found.append(Range(middle, end))
            end = middle
        else:
            found.append(Range(start, middle))
            start = middle
    if start:
        found.append(Range(start, end))
    return found[::-1]


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Returns (level, index) of the complete subtrees of a range that a proof names, from left to right."""
    found: list[tuple[int, int]] = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def _left_leaves(count: int) -> int:
    """Returns how many of `count` leaves are in the left subtree: the largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
