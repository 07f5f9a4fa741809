"""Numbers as options take them: ASCII digits, nothing that only Python reads as a number (`1_000`, `٣`, `nan`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: The most that the contract and the database hold.
MOST = 2**63 - 1


def whole(least: int = 0, most: int = MOST) -> Callable[[Any], int]:
    """What reads a whole number from `least` to `most`; ValueError says which are taken."""

    def read(word: Any) -> int:
        text = str(word)
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[Any], float]:
    """The same for a number that may have decimals."""

    def read(word: Any) -> float:
        text = str(word)
        if not re.fullmatch(r"[+-]?[0-9]{1,19}(\.[0-9]{0,19})?", text) or not least <= float(text) <= most:
            raise ValueError(f"{text!r} is no number from {least} to {most}")
        return float(text)

    return read
