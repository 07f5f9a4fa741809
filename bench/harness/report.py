"""Prints the report at the end of a bench and decides its exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.harness.claim import Claim, measured
from bench.harness.rounds import Results


def report(found: Mapping[str, Results], claims: Sequence[Claim]) -> int:
    """Prints the figures of each contender, then the claims. Returns 1 when a claim is false, otherwise 0."""
    for kind, results in found.items():
        for contender in results.runs:
            print(measured(f"{kind}: {contender} [min, median, max]", results.summary(contender)))
    for claim in claims:
        print(claim.text(), flush=True)
    return 1 if any(claim.holds is False for claim in claims) else 0
