"""The claims about the way from a command to a query that shows its effect."""

from __future__ import annotations

from collections.abc import Mapping

from bench.harness.claim import Claim, Limit, at_least, at_most, compare
from bench.harness.rounds import Results
from query_service.handlers.notices.refresh_turns import LEAST_PAUSE_SECONDS

#: The rate in orders/s at which an order meets no other.
LOW_RATE = 10.0
OURS, BEFORE = "now", "the commit before"
READABLE, SEARCHABLE, WATCHED = "command → readable", "command → searchable", "command → watcher"
WAITING = "100 callers wait for lists"
READABLE_FLOOR, SEARCHABLE_FLOOR = "stages until readable", "stages until searchable"
#: The most that an order may take, as a multiple of what the stages take alone.
LATENCY_LIMITS = {READABLE: (READABLE_FLOOR, 1.2), SEARCHABLE: (SEARCHABLE_FLOOR, 1.5)}
#: How much longer a change may take to a watcher than to a caller who reads it by id.
WATCHED_ALLOWANCE = 1.5
#: The index also refreshes itself, once per second.
OWN_REFRESHES = 1.0


def at(name: str, rate: float) -> str:
    """Returns the name of a contender with its rate in orders/s."""
    return f"{name}, {rate:.0f}/s"


def of(version: str, name: str) -> str:
    """Returns the name of a contender with the version that it measures, if that is not the present one."""
    return name if version == OURS else f"{name}, {version}"


def latency_claims(results: Results, halves: Mapping[str, float | None]) -> list[Claim]:
    """Returns the claims about orders that are read back or found, against the stages alone.

    They are judged at LOW_RATE and at half the highest rate of each kind, which is in `halves` if it was found.
    """
    claims = []
    for name, (floor, limit) in LATENCY_LIMITS.items():
        for rate, which in ((LOW_RATE, ""), (halves[name], ", half the highest rate")):
            contender, alone = at(name, rate or 0.0), at(floor, rate or 0.0)
            claim = f"{name if rate is None else contender}{which}: p50 against the sum of the stages alone"
            ours, theirs = results.median(contender, "p50_ms"), results.median(alone, "sum_ms")
            reason = "the highest rate was not found" if rate is None else results.why_not(contender, alone)
            claims.append(compare(claim, "ms", ours, theirs, at_most(limit), reason))
    return claims


def watch_claim(results: Results) -> Claim:
    """Returns the claim about a watcher, against a caller who reads by id."""
    watched, readable = at(WATCHED, LOW_RATE), at(READABLE, LOW_RATE)
    ours, theirs = results.median(watched, "p50_ms"), results.median(readable, "p50_ms")
    claim = f"{watched}: p50 against a read by id"
    return compare(claim, "ms", ours, theirs, at_most(WATCHED_ALLOWANCE), results.why_not(watched, readable))


def refresh_claim(results: Results) -> Claim:
    """Returns the claim about the refreshes of an index while many wait for lists."""
    allowed = 1 / LEAST_PAUSE_SECONDS + OWN_REFRESHES
    claim = f"{WAITING}: refreshes a second against those allowed"
    ours = results.median(WAITING, "refreshes_per_s")
    return compare(claim, "refreshes/s", ours, allowed, at_most(1.05), results.why_not(WAITING))


def before_claims(highest: Results, results: Results, rate: float, no_before: str) -> list[Claim]:
    """Returns the claims against the commit before: the highest rate, and the processor time per order at `rate`.

    `no_before` says why that commit was not measured, if it was not.
    """
    ours, theirs = (of(version, at(READABLE, rate)) for version in (OURS, BEFORE))

    def against(claim: str, unit: str, found: Results, names: tuple[str, str], figure: str, limit: Limit) -> Claim:
        now, then = (found.median(name, figure) for name in names)
        return compare(claim, unit, now, then, limit, no_before or found.why_not(*names))

    return [
        against(
            "highest rate at which orders are read back as they come, against the commit before",
            "orders/s", highest, (READABLE, of(BEFORE, READABLE)), "per_s", at_least(1.5),
        ),
        against(
            f"{rate:.0f}/s: processor time per order, against the commit before",
            "ms", results, (ours, theirs), "cpu_total", at_most(0.65),
        ),
    ]  # fmt: skip
