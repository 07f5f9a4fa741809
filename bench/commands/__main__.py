"""`make bench-commands`: compares commands with an empty call and their SQL by pgbench, and checks the limits.

Prints one JSON object per claim and exits with 1 when one of them is false. ROWS is the size of a large write model,
beside which commands are measured too; 0: none.
"""

from __future__ import annotations

import asyncio
import sys

from bench.commands.aggregate_saves import NOT_MEASURED
from bench.commands.burst_runs import BARE, BURST, BURST_LIMIT, OURS, burst_runs
from bench.commands.calls import orders, payments
from bench.commands.contenders import EMPTY, LIFE, PEER, BesideRows, Contenders, answer_bytes, pgbench_of
from bench.commands.cost_claims import at, cost_claim
from bench.commands.plans import partitions_touched
from bench.commands.rows import forget_changes, make_write_model, partitions_changed
from bench.commands.servers import bare_server, command_service
from bench.commands.statements import record
from bench.harness.claim import Claim, at_most, compare
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Results, interleave
from bench.harness.servers import Servers, running_servers
from bench.harness.settings import BenchSettings

#: How many times as long as an empty call and its SQL by pgbench a command may take.
COMMAND_LIMIT = 2.5
LARGE = 5_000_000


async def main() -> int:
    """Measures everything, judges the claims, and returns the exit status."""
    settings = BenchSettings.load(calls=1_000)
    tell(settings.line(f"{settings.calls} calls", f"{settings.rows} rows"))
    async with running_servers() as servers:
        url = await make_write_model(servers, "bench_small", 0)
        async with (
            command_service(servers.directory / "small", url) as ours,
            bare_server("empty", await answer_bytes(ours)) as empty,
        ):
            contenders = Contenders(settings, servers, empty=empty, ours=ours)
            await contenders.prepare()
            results = await interleave(contenders.runs(), settings.rounds, "commands")
        refusals = await interleave(burst_runs(servers, url), settings.rounds, "burst")
        sizes, size_claims = await _beside_rows(servers, settings)
    claims = [*_cost_claims(results), *size_claims, *_burst_claims(refusals), *_peer_claims(results)]
    return report({"commands": results, "burst": refusals, "size": sizes}, claims)


async def _beside_rows(servers: Servers, settings: BenchSettings) -> tuple[Results, list[Claim]]:
    """Measures commands beside the rows of a large write model, if one is wanted. Returns the figures and claims."""
    if not settings.rows:
        why = Results(failures={"size": f"no large write model (set ROWS={LARGE}; loading it takes about 10 minutes)"})
        return why, _size_claims(why, settings, set(), set())
    small = await make_write_model(servers, "bench_no_rows", 0)
    large = await make_write_model(servers, "bench_large", settings.rows)
    async with (
        command_service(servers.directory / "no-rows", small) as empty,
        command_service(servers.directory / "large", large) as full,
    ):
        await forget_changes(large)
        runs = BesideRows(settings, empty=empty, large=full).runs()
        results = await interleave(runs, settings.rounds, "size")
        changed = await partitions_changed(large)
    return results, _size_claims(results, settings, changed, await _partitions_planned(servers, large))


async def _partitions_planned(servers: Servers, url: str) -> set[str]:
    """Returns the outbox partitions that a PlaceOrder and a RecordPayment touch in the database at `url`."""
    first = await make_write_model(servers, "bench_explained", 0)
    requests = orders(1)
    recorded = await record(first, requests, payments(requests))
    commands = [*recorded.places, *recorded.payments]
    return await partitions_touched(url, [statement for trips in commands for trip in trips for statement in trip])


def _cost_claims(results: Results) -> list[Claim]:
    return [
        cost_claim(
            results,
            f"{command}: time per call against an empty method and its SQL by pgbench, at 1, 16 and 64 callers",
            command, EMPTY, [pgbench_of(command)], at_most(COMMAND_LIMIT),
        )
        for command in LIFE
    ]  # fmt: skip


def _size_claims(results: Results, settings: BenchSettings, changed: set[str], planned: set[str]) -> list[Claim]:
    claims, rows, why_not = [], settings.rows or LARGE, results.why_not("size")
    for command in ("PlaceOrder", "RecordPayment"):
        names = (f"{command} beside {rows} rows", f"{command} beside no rows")
        large, small = (results.median(name, "us_per_call") for name in names)
        claim = f"{command}, 16 callers: time per call beside {rows} rows against none"
        claims.append(compare(claim, "us", large, small, at_most(1.3), why_not or results.why_not(*names)))
    figures = {"unit": "partitions", "by statistics": sorted(changed), "by EXPLAIN and locks": sorted(planned)}
    most = float(max(len(changed), len(planned))) or None
    holds = None if most is None else most == 1
    claims.append(
        Claim("commands touch one partition of the outbox", figures, most, at_most(1), holds, why_not or None)
    )
    return claims


def _burst_claims(results: Results) -> list[Claim]:
    ours, bare = (results.median(name, "p50_ms") for name in (OURS, BARE))
    claim = f"{BURST} callers at once, {BURST_LIMIT} allowed: a refusal's median against a bare refusing server"
    return [compare(claim, "ms", ours, bare, at_most(1.5), results.why_not(OURS, BARE))]


def _peer_claims(results: Results) -> list[Claim]:
    """Compares a command with another library's save of an aggregate.

    There is no limit, because such a save does less: it has no gRPC, no tables of orders and no stored response.
    """
    names = (at("PlaceOrder", 16), at(PEER, 16))
    ours, theirs = (results.median(name, "us_per_call") for name in names)
    reason = results.why_not(*names) or "told beside it without a limit: a save is less than a command"
    figures = {"unit": "us", "ours": ours, "theirs": theirs}
    ratio = ours / theirs if ours and theirs else None
    claims = [Claim(f"PlaceOrder, 16 callers: time per call against {PEER}", figures, ratio, at_most(1), None, reason)]
    for library, reason in NOT_MEASURED.items():
        claim = f"PlaceOrder, 16 callers: time per call against {library}'s aggregate save"
        claims.append(Claim(claim, {"unit": "us"}, None, at_most(1), None, reason))
    return claims


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
