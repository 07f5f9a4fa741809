"""Claims what a call may cost: so many times an empty call and its store's work alone, at each number of callers."""

from __future__ import annotations

from collections.abc import Sequence

from bench.commands.calls import CALLERS
from bench.harness.claim import Claim, Limit, compare_worst
from bench.harness.rounds import Results


def at(name: str, callers: int) -> str:
    """Returns the name of a contender with this number of callers."""
    return f"{name}, {callers} {'caller' if callers == 1 else 'callers'}"


def cost_claim(results: Results, claim: str, call: str, empty: str, stores: Sequence[str], limit: Limit) -> Claim:
    """Compares `call` with `empty` and the cheapest of `stores`, at each number of callers, and judges the worst ratio.

    A store can also be asked over fewer connections than there are callers. So its cheapest run with as many callers or
    fewer counts. If one of the stores was not measured, the claim is undecided, because it could be the cheapest.
    """
    pairs, names = dict[str, tuple[float | None, float | None]](), list[str]()
    alone = list[float | None]()
    for callers in CALLERS:
        alone += [results.median(at(store, callers), "us_per_call") for store in stores]
        ours, nothing = (results.median(at(name, callers), "us_per_call") for name in (call, empty))
        told = [one for one in alone if one is not None]
        floor = nothing + min(told) if nothing is not None and len(told) == len(alone) else None
        pairs[at("", callers).removeprefix(", ")] = (ours, floor)
        names += [at(name, callers) for name in (call, empty, *stores)]
    return compare_worst(claim, "us", pairs, limit, results.why_not(*names))
