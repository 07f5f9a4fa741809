"""`make bench-commands`: compares a command with an empty call and with its SQL statements alone, and checks limits.

Prints one JSON object per claim and exits with 1 when one of them is false. ROWS is the size of the large write model.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Sequence
from functools import partial

import psycopg

from bench.commands.aggregate_saves import NOT_MEASURED, EventsourcingSaves
from bench.commands.calls import PAY, PLACE, burst, closed_loop, orders, payments, texts
from bench.commands.plans import partitions_touched
from bench.commands.rows import forget_changes, make_write_model, partitions_changed
from bench.commands.servers import Serving, bare_server, command_service
from bench.commands.statements import Recorded, SendAll, by_pgbench, by_psycopg, by_transactions, record
from bench.harness.claim import Claim, at_most, compare
from bench.harness.process_usage import cpu_seconds
from bench.harness.progress import tell
from bench.harness.report import report
from bench.harness.rounds import Figures, NotMeasured, Results, Run, interleave
from bench.harness.servers import Servers, running_servers
from bench.harness.settings import BenchSettings

CALLERS = (1, 16, 64)
BURST, BURST_LIMIT, REFUSED = 2_000, 200, "RESOURCE_EXHAUSTED"
PEER = "eventsourcing's aggregate save"


class Contenders:
    """What is measured and compared in one round. Each run makes its own requests, statements and databases."""

    def __init__(
        self, settings: BenchSettings, servers: Servers, *, empty: Serving, ours: Serving, large: Serving
    ) -> None:
        self._settings, self._servers = settings, servers
        self._empty, self._ours, self._large = empty, ours, large
        self._peer = EventsourcingSaves(settings, servers)
        self._made = 0

    def runs(self) -> dict[str, Run]:
        """Returns the runs by name, in the order in which a round executes them."""
        runs: dict[str, Run] = {}
        for callers in CALLERS:
            runs[f"empty method, {callers} callers"] = partial(self._call_empty, callers)
            runs[f"PlaceOrder, {callers} callers"] = partial(self._place, self._ours, callers)
            runs[f"RecordPayment, {callers} callers"] = partial(self._pay, self._ours, callers)
            runs[f"PlaceOrder's statements by psycopg, {callers} callers"] = partial(self._statements, callers)
            runs[f"RecordPayment's statements by psycopg, {callers} callers"] = partial(
                self._statements, callers, pay=True
            )
            runs[f"PlaceOrder's statements as the service sends them, {callers} callers"] = partial(
                self._statements, callers, send=by_transactions
            )
            runs[f"PlaceOrder's SQL by pgbench, {callers} callers"] = partial(self._pgbench, callers)
            runs[f"{PEER}, {callers} callers"] = partial(self._peer.run, callers)
        for name, address in (("no rows", self._ours), (f"{self._settings.rows} rows", self._large)):
            runs[f"PlaceOrder beside {name}"] = partial(self._place, address, 16)
            runs[f"RecordPayment beside {name}"] = partial(self._pay, address, 16)
        return runs

    async def _call_empty(self, callers: int) -> Figures:
        return await self._place(self._empty, callers)

    async def _place(self, server: Serving, callers: int) -> Figures:
        return await _loop(server, PLACE, texts(orders(self._settings.calls)), callers)

    async def _pay(self, server: Serving, callers: int) -> Figures:
        requests = orders(self._settings.calls)
        await closed_loop(server.address, PLACE, texts(requests), 16)
        return await _loop(server, PAY, payments(requests), callers)

    async def _statements(self, callers: int, *, pay: bool = False, send: SendAll = by_psycopg) -> Figures:
        recorded, url = await self._recorded(self._settings.calls, pay=pay)
        figures = await send(url, recorded.places, callers)
        return await send(url, recorded.payments, callers) if pay else figures

    async def _pgbench(self, callers: int) -> Figures:
        recorded, url = await self._recorded(1, pay=False)
        directory = self._servers.directory / "pgbench"
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        return await by_pgbench(url, recorded.places[0], callers, 4, directory)

    async def _recorded(self, count: int, *, pay: bool) -> tuple[Recorded, str]:
        """Records statements in one new database. Returns them, and the URL of a second database to replay them in."""
        self._made += 1
        first = await make_write_model(self._servers, f"bench_recorded_{self._made}", 0)
        second = await make_write_model(self._servers, f"bench_statements_{self._made}", 0)
        requests = orders(count)
        return await record(first, requests, payments(requests) if pay else []), second


async def _loop(server: Serving, method: str, requests: Sequence[bytes], callers: int) -> Figures:
    """Returns the figures of `closed_loop`, and the server's CPU time per call in µs."""
    before = cpu_seconds(server.pid)
    figures, _ = await closed_loop(server.address, method, requests, callers)
    return {**figures, "server_cpu_us": 1e6 * (cpu_seconds(server.pid) - before) / len(requests)}


async def main() -> int:
    """Measures everything, judges the claims, and returns the exit status."""
    settings = BenchSettings.load()
    tell(
        f"{settings.calls} calls, {settings.rounds} rounds, {settings.rows} rows, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    async with running_servers() as servers:
        small_url = await make_write_model(servers, "bench_small", 0)
        large_url = await make_write_model(servers, "bench_large", settings.rows)
        directory = servers.directory
        async with (
            bare_server("empty", await _answer_bytes(servers, small_url)) as empty,
            command_service(directory / "small", small_url) as ours,
            command_service(directory / "large", large_url) as large,
        ):
            await forget_changes(large_url)
            results = await interleave(
                Contenders(settings, servers, empty=empty, ours=ours, large=large).runs(), settings.rounds, "commands"
            )
            touched = await partitions_changed(large_url), await _partitions_planned(servers, large_url)
        refusals = await interleave(await _bursts(servers, small_url), settings.rounds, "burst")
    claims = [
        *_cost_claims(results),
        *_size_claims(results, settings, *touched),
        *_burst_claims(refusals),
        *_peer_claims(results),
    ]
    return report({"commands": results, "burst": refusals}, claims)


async def _partitions_planned(servers: Servers, url: str) -> set[str]:
    """Returns the outbox partitions that a PlaceOrder and a RecordPayment touch in the database at `url`."""
    first = await make_write_model(servers, "bench_explained", 0)
    requests = orders(1)
    recorded = await record(first, requests, payments(requests))
    commands = [*recorded.places, *recorded.payments]
    return await partitions_touched(url, [statement for trips in commands for trip in trips for statement in trip])


async def _answer_bytes(servers: Servers, url: str) -> int:
    """Returns the size of the response to a PlaceOrder, in bytes."""
    async with command_service(servers.directory / "probe", url) as server:
        _, answers = await closed_loop(server.address, PLACE, texts(orders(20)), 1)
    return round(statistics.median(len(answer) for answer in answers))


async def _bursts(servers: Servers, url: str) -> dict[str, Run]:
    def figures(ended: dict[str, list[float]]) -> Figures:
        times = ended.get(REFUSED, [])
        if set(ended) - {"OK", REFUSED} or len(times) < BURST - BURST_LIMIT:
            raise NotMeasured(f"calls ended as { ({code: len(each) for code, each in ended.items()}) }")
        return {"refused": len(times), "p50_ms": 1e3 * statistics.median(times)}

    async def ours() -> Figures:
        ended: dict[str, list[float]] = {}
        async with (
            command_service(servers.directory / "burst", url, max_concurrent_rpcs=str(BURST_LIMIT)) as server,
            await psycopg.AsyncConnection.connect(url) as blocker,
        ):
            await blocker.execute("LOCK TABLE customers")  # so no call of the burst ends before all have arrived
            calls = asyncio.create_task(burst(server.address, texts(orders(BURST)), ended))
            while len(ended.get(REFUSED, ())) < BURST - BURST_LIMIT and not calls.done():  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.05)
            await blocker.rollback()
            await calls
        return figures(ended)

    async def bare() -> Figures:
        ended: dict[str, list[float]] = {}
        async with bare_server("refusing", 0) as server:
            await burst(server.address, texts(orders(BURST)), ended)
        return figures(ended)

    return {"ours": ours, "bare grpc.aio": bare}


def _cost_claims(results: Results) -> list[Claim]:
    names = ("PlaceOrder, 16 callers", "empty method, 16 callers", "PlaceOrder's statements by psycopg, 16 callers")
    ours, empty, statements = (results.median(name, "us_per_call") for name in names)
    floor = None if empty is None or statements is None else empty + statements
    claim = "PlaceOrder, 16 callers: time per call against an empty method and the same statements by psycopg"
    return [compare(claim, "us", ours, floor, at_most(1.6), results.why_not(*names))]


def _size_claims(results: Results, settings: BenchSettings, changed: set[str], planned: set[str]) -> list[Claim]:
    claims = []
    for command in ("PlaceOrder", "RecordPayment"):
        names = (f"{command} beside {settings.rows} rows", f"{command} beside no rows")
        large, small = (results.median(name, "us_per_call") for name in names)
        claims.append(
            compare(
                f"{command}, 16 callers: time per call beside {settings.rows} rows against none",
                "us", large, small, at_most(1.3), results.why_not(*names),
            )
        )  # fmt: skip
    figures = {"unit": "partitions", "by statistics": sorted(changed), "by EXPLAIN and locks": sorted(planned)}
    most = max(len(changed), len(planned))
    claims.append(Claim("commands touch one partition of the outbox", figures, float(most), at_most(1), most == 1))
    return claims


def _burst_claims(results: Results) -> list[Claim]:
    names = ("ours", "bare grpc.aio")
    ours, bare = (results.median(name, "p50_ms") for name in names)
    claim = f"{BURST} callers at once, {BURST_LIMIT} allowed: a refusal's median against a bare refusing server"
    return [compare(claim, "ms", ours, bare, at_most(1.5), results.why_not(*names))]


def _peer_claims(results: Results) -> list[Claim]:
    """Compares a command with another library's save of an aggregate.

    There is no limit, because such a save does less: it has no gRPC, no tables of orders and no stored response.
    """
    names = ("PlaceOrder, 16 callers", f"{PEER}, 16 callers")
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
