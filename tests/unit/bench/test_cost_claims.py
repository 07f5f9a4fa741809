"""A call's cost is judged where it is worst, against the cheapest way to ask its store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.commands.cost_claims import at, cost_claim
from bench.harness.claim import Claim, at_least, at_most, compare_worst
from bench.harness.rounds import Figures, Results
from tests.support.source_mutants import Mutant

CALLERS = (1, 16, 64)


def results(**times: tuple[float, float, float]) -> Results:
    """The time per call of each contender with 1, 16 and 64 callers."""
    runs: dict[str, list[Figures]] = {
        at(name, callers): [{"us_per_call": time}]
        for name, each in times.items()
        for callers, time in zip(CALLERS, each, strict=True)
    }
    return Results(runs)


def judged(found: Results, *stores: str) -> Claim:
    return cost_claim(found, "a claim", "call", "empty", stores, at_most(2))


def check_the_cheapest_store_counts() -> None:
    found = results(call=(100, 90, 90), empty=(10, 10, 10), shared=(90, 20, 40), each=(40, 60, 20))
    claim = judged(found, "shared", "each")
    # At 1: 100 / (10 + 40). At 16: 90 / (10 + 20). At 64: 90 / (10 + 20).
    assert (claim.ratio, claim.holds, claim.figures["worst"]) == (3.0, False, "16 callers")


def test_the_cheapest_store_and_the_worst_ratio_count() -> None:
    check_the_cheapest_store_counts()


def check_fewer_connections_count() -> None:
    claim = judged(results(call=(40, 40, 40), empty=(10, 10, 10), store=(30, 10, 40)), "store")
    assert claim.figures["each"]["64 callers"]["theirs"] == 20


def test_a_store_that_was_cheaper_over_fewer_connections_counts() -> None:
    check_fewer_connections_count()


def test_a_store_that_was_not_measured_leaves_the_claim_undecided() -> None:
    found = results(call=(1, 1, 1), empty=(10, 10, 10), each=(40, 60, 20))
    found.failures[at("shared", 16)] = "no such program"
    claim = judged(found, "shared", "each")
    assert (claim.holds, claim.reason) == (None, "shared, 16 callers: no such program")


@pytest.mark.parametrize(("limit", "worst"), [(at_most(1), 3.0), (at_least(1), 0.5)])
def test_which_ratio_is_the_worst_depends_on_the_limit(limit: object, worst: float) -> None:
    pairs = {"a": (1.0, 2.0), "b": (3.0, 1.0)}
    assert compare_worst("a claim", "us", pairs, limit).ratio == worst  # type: ignore[arg-type]


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("min(told)", "max(told)", check_the_cheapest_store_counts),
        ("alone += [", "alone = [", check_fewer_connections_count),
    ],
)
def test_a_dearer_floor_is_noticed(old: str, new: str, check: Callable[[], None]) -> None:
    with Mutant(cost_claim, old, new).at_work(), pytest.raises(AssertionError):
        check()
