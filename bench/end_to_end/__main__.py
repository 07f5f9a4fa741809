"""`make bench-end-to-end`: measures the time from a command to a query that shows its effect.

It compares this time with the sum of what each stage costs alone (`stage_floors`).

Prints one JSON object per claim and exits with 1 when one of them is false.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable

from bench.end_to_end.stage_floors import stage_floors
from bench.end_to_end.whole_stack import Caller, WholeStack, running_stack
from bench.harness.claim import Claim, at_most, compare, measured
from bench.harness.open_loop import at_random, open_loop
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, Run, interleave
from bench.harness.servers import running_read_servers
from bench.harness.settings import BenchSettings
from bench.reads.order_messages import sample_stream
from bench.reads.read_side import elasticsearch
from query_service.handlers.notices.refresh_turns import LEAST_PAUSE_SECONDS

READABLE, SEARCHABLE = "command → readable", "command → searchable"
WATCHED = "command → watcher"
#: How much longer a change may take to a watcher than to a caller who reads it by id.
WATCHED_ALLOWANCE = 1.5
FLOORS, WAITING = "floors of the stages", "100 callers wait for lists"
RATES = (10, 100)
#: The rate whose result is judged. Floors are measured with one order at a time. At a higher rate orders also wait for
#: each other, so those results are only reported.
JUDGED_RATE = 10
WARMING, WARMING_SECONDS = 16, 10.0
WAITERS, WAITING_SECONDS = 100, 6.0
#: The search for the highest rate: the first rate in orders/s, the factor to the next rate, and the seconds per rate.
FIRST_RATE, STEP, STEP_SECONDS = 100.0, 1.25, 5.0
#: A rate is sustained if the 99th percentile is at most this many ms, and the last order ends at most so many seconds
#: after the last start.
SUSTAINED_P99_MS, SUSTAINED_BEHIND_SECONDS = 1_000.0, 0.5
#: The index also refreshes itself, once per second.
OWN_REFRESHES = 1.0


async def main() -> int:
    """Measures, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(steady_seconds=10)
    tell(
        f"{settings.steady_seconds} s a rate, {settings.rounds} rounds, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    async with running_read_servers() as servers, contextlib.AsyncExitStack() as stack:
        sampled = await sample_stream(servers)
        running = await stack.enter_async_context(running_stack(servers))
        floors = await stack.enter_async_context(stage_floors(servers, sampled))
        caller = await stack.enter_async_context(running.caller())
        await _closed_loop(caller, WARMING, WARMING_SECONDS)  # warms up Elasticsearch's JVM
        highest = await _highest_rate(caller)
        contenders: dict[str, Run] = {FLOORS: floors.measure}
        for rate in (*RATES, round(highest)):
            for name, work in ((READABLE, caller.readable), (SEARCHABLE, caller.searchable), (WATCHED, caller.watched)):
                contenders[_at(name, rate)] = _loop(caller, work, rate, settings.steady_seconds)
        contenders[WAITING] = lambda: _waiting(running, caller)
        async with caller.watching():
            results = await interleave(contenders, settings.rounds, "end to end")
    print(measured("end to end: highest rate at which orders are read back as they come", {"per_s": highest}))
    claims = [*_latency_claims(results), _watch_claim(results), _refresh_claim(results)]
    return report({"end to end": results}, claims)


def _loop(caller: Caller, work: Callable[[], Awaitable[None]], rate: float, seconds: float) -> Run:
    async def run() -> Figures:
        caller.make_ready(round(1.3 * rate * seconds))
        return await open_loop(work, at_random(rate), seconds)

    return run


async def _highest_rate(caller: Caller) -> float:
    """Returns the highest rate, in orders/s, at which orders are read back as fast as they arrive."""
    rate, sustained = FIRST_RATE, float(RATES[0])
    while True:
        try:
            found = await _loop(caller, caller.readable, rate, STEP_SECONDS)()
        except NotMeasured as reason:
            tell(f"{rate:.0f}/s: {reason}")
            return sustained
        p50, p99, behind = found["p50_ms"], found["p99_ms"], found["behind_s"]
        tell(f"{rate:.0f}/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, {behind:.2f} s behind")
        if p99 > SUSTAINED_P99_MS or behind > SUSTAINED_BEHIND_SECONDS:
            return sustained
        rate, sustained = rate * STEP, rate


async def _closed_loop(caller: Caller, callers: int, seconds: float) -> int:
    """Lets `callers` callers place orders and search for them for `seconds` seconds. Returns the number of searches."""
    stop, done = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < stop:
            await caller.searchable()
            done += 1

    await asyncio.gather(*(one() for _ in range(callers)))
    return done


async def _waiting(running: WholeStack, caller: Caller) -> Figures:
    """Counts the refreshes of the index, and the searches, while WAITERS callers place orders and search for them."""
    model = running.model
    async with elasticsearch(model.servers.elasticsearch.url) as connection:

        async def refreshes() -> int:
            path = f"/{model.names.orders}/_stats/refresh"
            _, answer = await connection.request("GET", path)
            return int(answer["_all"]["primaries"]["refresh"]["external_total"])

        caller.make_ready(2_000)
        before, started = await refreshes(), time.perf_counter()
        done = await _closed_loop(caller, WAITERS, WAITING_SECONDS)
        seconds = time.perf_counter() - started
        counted = await refreshes() - before
    return {"refreshes_per_s": counted / seconds, "lists_per_s": done / seconds, "lists_per_refresh": done / counted}


def _at(name: str, rate: int) -> str:
    return f"{name}, {rate}/s"


def _latency_claims(results: Results) -> list[Claim]:
    claims = []
    for name, floor in ((READABLE, "readable_ms"), (SEARCHABLE, "searchable_ms")):
        contender = _at(name, JUDGED_RATE)
        ours, theirs = results.median(contender, "p50_ms"), results.median(FLOORS, floor)
        claim = f"{contender}: p50 against the sum of the stages alone"
        claims.append(compare(claim, "ms", ours, theirs, at_most(2), results.why_not(contender, FLOORS)))
    return claims


def _watch_claim(results: Results) -> Claim:
    watched, readable = _at(WATCHED, JUDGED_RATE), _at(READABLE, JUDGED_RATE)
    ours, theirs = results.median(watched, "p50_ms"), results.median(readable, "p50_ms")
    claim = f"{watched}: p50 against a read by id"
    return compare(claim, "ms", ours, theirs, at_most(WATCHED_ALLOWANCE), results.why_not(watched, readable))


def _refresh_claim(results: Results) -> Claim:
    allowed = 1 / LEAST_PAUSE_SECONDS + OWN_REFRESHES
    claim = "100 callers wait for lists: refreshes a second against those allowed"
    ours = results.median(WAITING, "refreshes_per_s")
    return compare(claim, "refreshes/s", ours, allowed, at_most(1.05), results.why_not(WAITING))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
