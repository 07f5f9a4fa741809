"""The claims of the end-to-end bench are judged, or say why they are not."""

from __future__ import annotations

from bench.end_to_end.claims import (
    BEFORE,
    OURS,
    READABLE,
    READABLE_FLOOR,
    SEARCHABLE,
    SEARCHABLE_FLOOR,
    at,
    before_claims,
    latency_claims,
    of,
)
from bench.end_to_end.costs import cost_table
from bench.harness.rounds import Results


def results(figures: dict[str, dict[str, float]]) -> Results:
    """Results of one round."""
    return Results({name: [one] for name, one in figures.items()})


def test_latencies_are_judged_at_both_rates_of_each_kind() -> None:
    found = results(
        {
            at(READABLE, 10): {"p50_ms": 11.0},
            at(READABLE_FLOOR, 10): {"sum_ms": 10.0},
            at(READABLE, 50): {"p50_ms": 26.0},
            at(READABLE_FLOOR, 50): {"sum_ms": 20.0},
            at(SEARCHABLE, 10): {"p50_ms": 14.0},
            at(SEARCHABLE_FLOOR, 10): {"sum_ms": 10.0},
            at(SEARCHABLE, 30): {"p50_ms": 32.0},
            at(SEARCHABLE_FLOOR, 30): {"sum_ms": 20.0},
        }
    )
    claims = latency_claims(found, {READABLE: 50.0, SEARCHABLE: 30.0})
    assert [(claim.ratio, claim.holds) for claim in claims] == [(1.1, True), (1.3, False), (1.4, True), (1.6, False)]
    assert claims[1].claim.startswith("command → readable, 50/s, half the highest rate:")


def test_a_highest_rate_that_was_not_found_leaves_claims_undecided() -> None:
    claims = latency_claims(results({}), {READABLE: None, SEARCHABLE: None})
    assert [claim.holds for claim in claims] == [None] * 4
    assert claims[1].reason == "the highest rate was not found"


def test_the_commit_before_is_compared_at_the_same_rate() -> None:
    highest = results({READABLE: {"per_s": 200.0}, of(BEFORE, READABLE): {"per_s": 125.0}})
    found = results({at(READABLE, 100): {"cpu_total": 12.0}, of(BEFORE, at(READABLE, 100)): {"cpu_total": 20.0}})
    assert [claim.ratio for claim in before_claims(highest, found, 100.0, "")] == [1.6, 0.6]
    assert [claim.holds for claim in before_claims(highest, found, 100.0, "")] == [True, True]


def test_without_a_commit_before_its_claims_say_so() -> None:
    highest, found = results({READABLE: {"per_s": 200.0}}), results({at(READABLE, 100): {"cpu_total": 12.0}})
    claims = before_claims(highest, found, 100.0, "BEFORE is not set")
    assert [(claim.holds, claim.reason) for claim in claims] == [(None, "BEFORE is not set")] * 2


def test_the_table_has_a_row_for_what_was_measured() -> None:
    costs = {"cpu_command": 2.5, "cpu_total": 12.25, "cores": 1.2, "p50_ms": 30.0, "p99_ms": 90.0, "behind_s": 0.0}
    counts = {"bulks": 2.0, "refreshes": 0.3, "gets": 3.7, "merges": 0.06}
    assert cost_table(results({of(OURS, at(READABLE, 10)): costs | counts}), [at(READABLE, 10), "missing"]) == (
        "| ms of CPU per order | command | total | cores | p50_ms | p99_ms | behind_s"
        " | bulks | refreshes | gets | merges |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n"
        "| command → readable, 10/s | 2.5 | 12.2 | 1.2 | 30 | 90 | 0 | 2 | 0.3 | 3.7 | 0.06 |"
    )
