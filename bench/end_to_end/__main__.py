"""`make bench-end-to-end`: measures the time from a command to a query that shows its effect, and what an order costs.

It compares the time with the sum of what each stage costs alone (`stage_floors`). With BEFORE=<commit> it compares the
highest rate, and the processor time per order, with those of the services of that commit.

Prints one JSON object per claim and exits with 1 when one of them is false.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from functools import partial
from typing import Any

from bench.end_to_end.claims import (
    BEFORE,
    LOW_RATE,
    OURS,
    READABLE,
    READABLE_FLOOR,
    SEARCHABLE,
    SEARCHABLE_FLOOR,
    WAITING,
    WATCHED,
    at,
    before_claims,
    latency_claims,
    of,
    refresh_claim,
    watch_claim,
)  # fmt: skip
from bench.end_to_end.costs import cost_table
from bench.end_to_end.highest_rate import HighestRate
from bench.end_to_end.stage_floors import READABLE_STAGES, SEARCHABLE_STAGES, StageFloors, stage_floors
from bench.end_to_end.whole_stack import OneStack, Version, closed_loop, warming_loop
from bench.harness.checkout import WORKING_TREE, checked_out
from bench.harness.claim import measured
from bench.harness.open_loop import at_random, open_loop
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, Run, interleave
from bench.harness.servers import ReadServers, running_read_servers
from bench.harness.settings import BenchSettings
from bench.harness.warming import warm
from bench.reads.order_messages import sample_stream
from devstack.servers import ServerError
from devstack.servers.http_probe import get_json

#: The rate in orders/s at which processor time is compared. It keeps two slow cores busy.
FULL_RATE = 100.0
WAITERS, WAITING_SECONDS = 100, 6.0


class Bench:
    """Measures the versions of the services, and the stages, of which only one runs at a time."""

    def __init__(self, seconds: float, versions: dict[str, Version], floors: StageFloors, stack: OneStack) -> None:
        self._seconds, self._floors, self._stack = seconds, floors, stack
        self.versions = versions

    async def warm(self) -> dict[str, Any]:
        """Warms Elasticsearch by callers who place orders and read them back, by id and by a search in turn."""
        running = await self._stack.of(self.versions[OURS])
        return await warm(
            partial(warming_loop, running.caller), lambda: cpu_seconds(running.costs.pids["Elasticsearch"])
        )

    async def load(self, version: str, kind: str, rate: float) -> Figures:
        """Places orders at a rate, in orders/s, and sees the effect of each as `kind` says. Returns the costs, too."""
        running = await self._stack.of(self.versions[version])
        caller = running.caller
        work = {READABLE: caller.readable, SEARCHABLE: caller.searchable, WATCHED: caller.watched}[kind]
        caller.make_ready(round(1.3 * rate * self._seconds))
        async with caller.watching() if kind == WATCHED else contextlib.nullcontext():
            return await running.costs.of(lambda: open_loop(work, at_random(rate), self._seconds))

    async def floor(self, stages: tuple[str, ...], rate: float) -> Figures:
        """Lets orders go through the stages at a rate, while no version runs."""
        await self._stack.end()
        return await self._floors.measure(stages, rate, self._seconds)

    async def waiting(self) -> Figures:
        """Counts the refreshes of the index, and the searches, while WAITERS callers place orders and search."""
        version = self.versions[OURS]
        caller = (await self._stack.of(version)).caller

        async def refreshes() -> int:
            path = f"/{version.model.names.orders}/_stats/refresh"
            answer = await get_json(version.servers.elasticsearch.port, path, 30.0)
            if answer is None:
                raise NotMeasured("Elasticsearch did not tell its refreshes")
            return int(answer["_all"]["primaries"]["refresh"]["external_total"])

        caller.make_ready(2_000)
        before, started = await refreshes(), time.perf_counter()
        done = await closed_loop(caller.searchable, WAITERS, WAITING_SECONDS)
        seconds = time.perf_counter() - started
        counted = await refreshes() - before
        return {
            "refreshes_per_s": counted / seconds,
            "lists_per_s": done / seconds,
            "lists_per_refresh": done / counted,
        }


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(steady_seconds=10)
    tell(settings.line(f"{settings.steady_seconds} s a rate"))
    async with running_read_servers() as servers, contextlib.AsyncExitStack() as stack:
        sampled = await sample_stream(servers)
        versions, no_before = await _versions(servers, stack, settings.before)
        floors = await stack.enter_async_context(stage_floors(servers, sampled, versions[OURS].stream))
        one_stack = OneStack()
        stack.push_async_callback(one_stack.end)
        bench = Bench(settings.steady_seconds, versions, floors, one_stack)
        warmed = await bench.warm()
        highest, full = await _highest(bench, settings.rounds)
        halves = {kind: _half(highest, kind) for kind in (READABLE, SEARCHABLE)}
        results = await interleave(_contenders(bench, halves, full), settings.rounds, "end to end")
    print(measured("end to end: Elasticsearch was warmed until its processor time per order stood still", warmed))
    shown = sorted({LOW_RATE, halves[READABLE] or LOW_RATE, full})
    print(cost_table(results, [of(version, at(READABLE, rate)) for rate in shown for version in versions]))
    claims = [
        *before_claims(highest, results, full, no_before),
        *latency_claims(results, halves),
        watch_claim(results),
        refresh_claim(results),
    ]
    return report({"highest rate": highest, "end to end": results}, claims)


async def _versions(
    servers: ReadServers, stack: contextlib.AsyncExitStack, before: str
) -> tuple[dict[str, Version], str]:
    """Returns the versions to measure, and why the commit `before` is not among them; "" if it is."""
    versions = {OURS: await Version.prepared(servers, "now", WORKING_TREE)}
    if not before:
        return versions, "BEFORE is not set; set it to a commit"
    try:
        checkout = stack.enter_context(checked_out(before))
        versions[BEFORE] = await Version.prepared(servers, "before", checkout)
    except (NotMeasured, ServerError) as reason:
        tell(f"BEFORE={before} is not measured: {reason}")
        return versions, str(reason)
    tell(f"the commit before is {checkout.name}")
    return versions, ""


async def _highest(bench: Bench, rounds: int) -> tuple[Results, float]:
    """Searches the highest rates. Returns them, and the rate at which the versions' processor time is compared.

    That is FULL_RATE if every version has read back all orders of a run at that rate or a higher one, however late.
    Otherwise it is the lower one of their highest rates.
    """
    searches = {
        of(version, READABLE): HighestRate(partial(bench.load, version, READABLE), FULL_RATE)
        for version in bench.versions
    }
    highest = await interleave({name: one.measure for name, one in searches.items()}, rounds, "highest rate")
    # Only decides at which rate searches are judged, so it is searched once.
    found = HighestRate(partial(bench.load, OURS, SEARCHABLE), FULL_RATE)
    highest.add(await interleave({SEARCHABLE: found.measure}, 1, "highest rate"))
    if all(one.finished >= FULL_RATE for one in searches.values()):
        return highest, FULL_RATE
    return highest, min((round(highest.median(name, "per_s") or LOW_RATE) for name in searches), default=LOW_RATE)


def _half(highest: Results, kind: str) -> float | None:
    """Returns half the highest rate of a kind of caller, but not less than LOW_RATE; None if it was not found."""
    found = highest.median(kind, "per_s")
    return None if found is None else float(max(round(found / 2), LOW_RATE))


def _contenders(bench: Bench, halves: dict[str, float | None], full: float) -> dict[str, Run]:
    """Returns everything that is measured in each round. Neighbours run the same version, so that it starts once."""
    rates = {kind: dict.fromkeys((LOW_RATE, half or LOW_RATE)) for kind, half in halves.items()}
    loads = [(READABLE, LOW_RATE), (READABLE, full), (WATCHED, LOW_RATE)]
    loads += [(kind, rate) for kind in rates for rate in rates[kind]]
    contenders: dict[str, Run] = {at(kind, rate): partial(bench.load, OURS, kind, rate) for kind, rate in loads}
    contenders[WAITING] = bench.waiting
    for kind, floor, stages in (
        (READABLE, READABLE_FLOOR, READABLE_STAGES),
        (SEARCHABLE, SEARCHABLE_FLOOR, SEARCHABLE_STAGES),
    ):
        contenders |= {at(floor, rate): partial(bench.floor, stages, rate) for rate in rates[kind]}
    if BEFORE in bench.versions:
        for rate in (LOW_RATE, full):
            contenders[of(BEFORE, at(READABLE, rate))] = partial(bench.load, BEFORE, READABLE, rate)
    return contenders


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
