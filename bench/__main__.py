"""`make bench`: runs all benches one after the other, and ends with one table of their claims.

The benches' own lines go to standard output as they come, their progress to standard error. Exits with 1 when a claim
is false, or when a bench fails or is not done in time. NAMES, such as "relay commands", limits it to some benches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from bench.harness.claim_table import Told, claim_table, missing
from bench.harness.progress import tell

#: The most seconds of one bench.
LIMIT_SECONDS = 25 * 60
WIDTH = 160


@dataclass(frozen=True, slots=True)
class Bench:
    """A bench: its module, and settings that it has where the environment gives none."""

    module: str
    defaults: Mapping[str, str] = field(default_factory=dict)


BENCHES = {
    "relay": Bench("bench.relay"),
    "commands": Bench("bench.commands"),
    "queries": Bench("bench.reads.queries"),
    "projection": Bench("bench.reads.projection"),
    "end-to-end": Bench("bench.end_to_end"),
    "rebuild": Bench("bench.reads.rebuild"),
    "exports": Bench("bench.commands.beside_exports", {"RATE": "100"}),
    "notary": Bench("bench.end_to_end.beside_notary", {"RATE": "100"}),
}


def main() -> int:
    """Runs the benches and returns the exit status."""
    names = os.environ.get("NAMES", "").split() or list(BENCHES)
    if unknown := sorted(set(names) - set(BENCHES)):
        sys.exit(f"NAMES has {', '.join(unknown)}; there are {', '.join(BENCHES)}.")
    told, failures = list[Told](), list[str]()
    for name in names:
        tell(f"bench {name}")
        claims, failure = run(name, BENCHES[name], LIMIT_SECONDS)
        told += claims
        if failure:
            tell(f"bench {name}: {failure}")
            failures.append(f"{name}: {failure}")
    return conclude(told, failures)


def run(name: str, bench: Bench, within: float) -> tuple[list[Told], str]:
    """Runs a bench and passes its output on. Returns its claims, and why it failed; "" if it did not.

    After `within` seconds the bench is ended. Its servers end with it.
    """
    late, told = threading.Event(), list[Told]()
    with subprocess.Popen(
        [sys.executable, "-m", bench.module], stdout=subprocess.PIPE, text=True, env={**bench.defaults, **os.environ}
    ) as process:

        def end() -> None:
            late.set()
            process.terminate()

        timer = threading.Timer(within, end)
        timer.start()
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                if (claim := claim_in(line)) is not None:
                    told.append(Told(name, claim))
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
    if late.is_set():
        return told, f"not done within {within / 60:g} minutes"
    expected = int(any(one.holds is False for one in told))
    return told, "" if status == expected and told else f"ended with status {status} and {len(told)} claims"


def claim_in(line: str) -> Mapping[str, object] | None:
    """Returns the claim that a bench has printed as this line, or None if it is another line."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "claim" in found else None


def conclude(told: Sequence[Told], failures: Sequence[str]) -> int:
    """Prints the table, what is missing, and what failed. Returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(claim_table(told))
    for reason, claims in missing(told).items():
        console.print(f"not judged: {reason}", markup=False)
        for claim in claims:
            console.print(f"    {claim}", markup=False)
    for failure in failures:
        console.print(f"FAILED {failure}", markup=False)
    counts = {holds: sum(one.holds is holds for one in told) for holds in (True, False, None)}
    console.print(f"{counts[True]} claims hold, {counts[False]} do not, {counts[None]} are not judged.")
    return 1 if counts[False] or failures else 0


if __name__ == "__main__":
    sys.exit(main())
