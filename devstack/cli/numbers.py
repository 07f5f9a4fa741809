"""Reads numbers of options: ASCII digits, and nothing that only Python reads as a number (`1_000`, `٣`, `nan`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

#: The most that the contract and the database hold.
MOST = 2**63 - 1
N = TypeVar("N", int, float)


def whole(least: int = 0, most: int = MOST) -> Callable[[Any], int]:
    """Returns a reader of integers from `least` to `most`; its ValueError says which are allowed."""
    return _reader("whole number", r"[+-]?[0-9]{1,19}", int, least, most)


def number(least: float, most: float) -> Callable[[Any], float]:
    """Returns the same reader for numbers with decimals."""
    return _reader("number", r"[+-]?[0-9]{1,19}(\.[0-9]{0,19})?", float, least, most)


def _reader(kind: str, digits: str, convert: Callable[[str], N], least: N, most: N) -> Callable[[Any], N]:
    def read(word: Any) -> N:
        text = str(word)
        if not re.fullmatch(digits, text) or not least <= convert(text) <= most:
            raise ValueError(f"{text!r} is no {kind} from {least} to {most}")
        return convert(text)

    return read
