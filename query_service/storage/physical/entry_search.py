"""Finds which version of an order was in force at a time, with few look-ups by id.

An order's record times rise with its versions, so a bisection over the versions finds the one in force. The bisection
uses look-ups by id, because they see every acknowledged write at once; a search would not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

#: Returns the record time (microseconds since 1970) of each version; None for a missing version.
FetchTimes = Callable[[Sequence[int]], Awaitable[list[int | None]]]
LOOK_UPS_PER_ROUND = 64


async def version_in_force(
    fetch_times: FetchTimes, head: int, time: int, *, width: int = LOOK_UPS_PER_ROUND
) -> tuple[int, int | None]:
    """Returns the greatest version up to `head` that was recorded at or before `time`; 0 when there is none.

    The second value is the greatest missing version that may be in force instead; None when the answer is certain.
    `time` is in microseconds since 1970. Each round looks up `width` versions at most.
    """
    low, high = 0, head + 1
    missing: set[int] = set()
    while candidates := [version for version in range(low + 1, high) if version not in missing]:
        asked = _spread(candidates, width)
        for version, recorded_at in zip(asked, await fetch_times(asked), strict=True):
            if recorded_at is None:
                missing.add(version)
            elif recorded_at <= time:
                low = max(low, version)
            else:
                high = min(high, version)
    return low, max((version for version in missing if low < version < high), default=None)


def _spread(candidates: list[int], width: int) -> list[int]:
    """Returns at most `width` of the candidates, evenly spread."""
    if len(candidates) <= width:
        return candidates
    step = len(candidates) / (width + 1)
    return [candidates[round(step * number)] for number in range(1, width + 1)]
