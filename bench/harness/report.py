"""What every bench prints at its end, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.harness.claim import Claim, measured
from bench.harness.rounds import Results


def report(found: Mapping[str, Results], claims: Sequence[Claim]) -> int:
    """Prints each contender's figures by kind of run, then the claims; the exit status: 1 when one is false."""
    for kind, results in found.items():
        for contender in results.runs:
            print(measured(f"{kind}: {contender} [min, median, max]", results.summary(contender)))
    for claim in claims:
        print(claim.text(), flush=True)
    return 1 if any(claim.holds is False for claim in claims) else 0
