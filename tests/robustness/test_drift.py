"""Drift is found and repaired in one round, and nothing else is reported, while orders are written."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import io
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, ReleaseOrderRequest
from tandem.orders.v1.order_query_service_pb2 import DriftCount, GetReadModelStatusRequest

from devstack.cli.running import run
from devstack.importers.run import ImportResult, import_orders
from devstack.servers import LocalServer
from devstack.servers.ports import HOST, free_port
from query_service.__main__ import main
from query_service.application.comparing.continuous import DriftClaim
from query_service.application.comparing.findings import Kind
from query_service.bootstrap import project
from query_service.checking import drift, reproject, selection
from query_service.clock import now
from query_service.drift_commands import CheckReport
from query_service.projection.external_version import version_parts
from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats, PrivatePostgres
from tests.fixtures.system import System, running_system
from tests.robustness.test_kill import chosen_seed
from tests.support.commands.imports import import_requests
from tests.support.commands.orders import place_order_request
from tests.support.queries.planted_drift import Vandal, query_settings
from tests.support.queries.projector_checks import drift_counts, http_get
from tests.support.queries.read_side import eventually

WRITERS = 4
#: Between two changes of a writer that runs beside the checks.
PAUSE_SECONDS = 0.1
#: Imported orders of a writer between two messages.
TOLD_EVERY = 500
#: How often a check is repeated that an outage just before it ended.
TRIES = 20
PROCESSES = ("query-project", "relay", "command")
#: When the fault comes after a round began, and how long a store is away then, at most.
LONGEST_ROUND_SECONDS, LONGEST_OUTAGE_SECONDS = 3.0, 15.0
#: The projector checks too, nearly all the time, because it is killed now and then and must complete rounds before.
ALL_THE_TIME = {"query-project": {"QUERY_DRIFT_BUDGET": "0.5", "QUERY_DRIFT_ROUND_SECONDS": "1"}}
KINDS = [kind for kind in Kind if kind not in (Kind.INDEX_SWAPPED, Kind.VERSION_LOST)]


async def place_orders(system: System, orders: int, seed: int = 1) -> list[str]:
    """Places orders of two versions each; returns their ids."""
    source = random.Random(seed)
    requests = [place_order_request(source) for _ in range(orders)]

    async def writer(number: int) -> None:
        for request in requests[number::WRITERS]:
            await system.commands.PlaceOrder(request, timeout=60)
            hold = HoldOrderRequest(request_id=request.order_id, order_id=request.order_id, reason="a second version")
            await system.commands.HoldOrder(hold, timeout=60)

    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    return [request.order_id for request in requests]


@contextlib.asynccontextmanager
async def writing(system: System, order_ids: Sequence[str]) -> AsyncIterator[list[int]]:
    """Changes the orders and places others within the block; yields the number of commands so far."""
    source, done = random.Random(7), [0]

    async def write() -> None:
        while True:
            order_id = source.choice(order_ids)
            ids: Any = {"request_id": place_order_request(source).request_id, "order_id": order_id, "reason": "load"}
            with contextlib.suppress(grpc.aio.AioRpcError):  # it is held, or released, already; or a process is killed
                if source.random() < 0.5:
                    await system.commands.HoldOrder(HoldOrderRequest(**ids), timeout=60)
                else:
                    await system.commands.ReleaseOrder(ReleaseOrderRequest(**ids), timeout=60)
            with contextlib.suppress(grpc.aio.AioRpcError):
                await system.commands.PlaceOrder(place_order_request(source), timeout=60)
            done[0] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    tasks = [asyncio.create_task(write()) for _ in range(2)]
    try:
        yield done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def output(system: System, command: Callable[[list[str]], int], *arguments: str) -> tuple[int, str]:
    """Runs a command of the system in a thread of this process; returns its exit code and what it prints."""

    def done() -> tuple[int, str]:
        with pytest.MonkeyPatch.context() as environment, contextlib.redirect_stdout(io.StringIO()) as printed:
            for name, value in {**system.settings, "QUERY_WRITE_TIMEOUT_SECONDS": "60"}.items():
                environment.setenv(name, value)
            return command(list(arguments)), printed.getvalue()

    return await asyncio.to_thread(done)


async def answer(system: System, command: Callable[[list[str]], int], *arguments: str) -> tuple[int, Any]:
    """Runs a command of the system, which prints JSON; returns its exit code and the document.

    A loaded machine may lag by more than a command waits for. It has done nothing then, so it is run again.
    """
    while True:
        code, printed = await output(system, command, *arguments, *(["--json"] if command is run else []))
        if code != 3:
            return code, json.loads(printed)


def kinds_found(report: Mapping[str, Any]) -> dict[str, set[str]]:
    """Returns the ids of the orders that a report names, by kind."""
    assert "findings" in report, report
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["kind"], set()).add(finding["order_id"])
    return found


async def check(system: System, **options: Any) -> CheckReport:
    """Runs one round."""
    return await drift(query_settings(system), **options)


async def fill(system: System, orders: int, seed: int) -> list[str]:
    """Imports so many orders, and tells how far it is; returns their ids."""
    requests = import_requests(seed, orders)
    answered = [0] * WRITERS

    async def importer(number: int) -> None:
        def tell(result: ImportResult) -> None:
            if result.answered - answered[number] >= TOLD_EVERY or result.answered == len(requests[number::WRITERS]):
                answered[number] = result.answered
                print(f"{sum(answered)} of {orders} orders are imported", flush=True)

        result = await import_orders(system.commands, requests[number::WRITERS], tell)
        assert result.refused == {}

    await asyncio.gather(*(importer(number) for number in range(WRITERS)))
    return [request.order_id for request in requests]


async def plant_and_repair(system: System, each: int, more: int = 0, seed: int = 1) -> None:
    """The test: `each` orders are damaged in each way, found in one round, and repaired. `more` are left alone."""
    print(f"seed {seed}", flush=True)
    filled = await fill(system, more, seed + 1) if more else []
    order_ids = await place_orders(system, len(KINDS) * each + 2 * WRITERS, seed)
    written, rest = order_ids[:WRITERS], order_ids[WRITERS:]
    async with Vandal.of(system) as vandal:
        await eventually(lambda: vandal.is_projected(rest), "a read model with all orders", within=1_200)
        async with writing(system, [*written, *filled]) as commands:
            planted = await plant_all(vandal, rest, each)
            before, begun = commands[0], time.monotonic()
            code, report = await answer(system, run, "drift", "check", "--repair", "--most", str(len(KINDS) * each))
            assert commands[0] > before
            assert kinds_found(report) == planted
            assert (code, report["repaired"], report["generations"]) == (0, report["found"], ["g1"])
            print(f"{report['orders']} orders compared in {time.monotonic() - begun:.1f} s", flush=True)
            system.kill("query-project")
            await check_subsets(system, vandal, rest[-3:], planted[Kind.PARKED_UNRECORDED])
            code, again = await answer(system, main, "drift", "check")
            assert (kinds_found(again), code, again["complete"]) == ({}, 0, True)
        hidden, invented = (min(planted[kind]) for kind in (Kind.PARKED_UNRECORDED, Kind.ORDER_UNKNOWN))
        assert [one.version for one in await vandal.store.parked(hidden)] == [3]
        assert (await vandal.store.orders([invented]))[0].document is None
        await check_continuous(system, vandal, rest[-1])


async def plant_all(vandal: Vandal, order_ids: Sequence[str], each: int) -> dict[str, set[str]]:
    """Damages `each` orders in each way, and sends readers to an empty index; returns what must be found, by kind."""
    planted: dict[str, set[str]] = {}
    for number, kind in enumerate(KINDS):
        ids = order_ids[number * each : (number + 1) * each]
        planted[str(kind)] = {await vandal.plant(kind, order_id) for order_id in ids}
    await vandal.swap()
    return {**planted, Kind.INDEX_SWAPPED: {""}}


async def check_subsets(system: System, vandal: Vandal, order_ids: Sequence[str], hidden: set[str]) -> None:
    """An order, a customer's orders and those of a time range are projected again, one revision higher.

    `hidden` have an event that cannot be projected.
    """
    by_order, by_customer, by_time = order_ids
    for order_id in order_ids:
        await vandal.plant(Kind.DOCUMENT_ALTERED, order_id)
    code, found = await answer(system, main, "drift", "check")
    assert (code, kinds_found(found)) == (1, {Kind.DOCUMENT_ALTERED: set(order_ids)})
    code, lines = await output(system, run, "drift", "check")
    words = " ".join(lines.split())  # a line ends where it happens to be full
    assert (code, words.count("document altered"), "3 differences, 0 repaired" in words) == (1, 3, True), lines
    code, unseen = await answer(system, run, "drift", "check", "--sample", "0")
    assert (code, unseen["content_checked"], unseen["found"]) == (0, 0, {})
    code, done = await answer(system, run, "rebuild", "order", by_order)
    assert (code, done["results"]) == (0, {"REPROJECTED": 1})
    [stored] = await vandal.store.orders([by_customer])
    assert stored.document is not None
    settings = query_settings(system)
    for chosen in (
        selection("customer", [stored.document["customer_id"]], None, None),
        selection("range", [], await recorded_at(vandal, by_time), await recorded_at(vandal, by_time) + 1),
    ):
        report = await reproject(settings, chosen)
        assert {one["order_id"] for one in report.document["not_reprojected"]} <= hidden, report
        assert report.document["orders"] >= 1
    for order_id in order_ids:
        assert version_parts((await vandal.store.external_versions(order_id, [])).order).revision >= 1


async def recorded_at(vandal: Vandal, order_id: str) -> int:
    """Returns when the order's latest event was recorded."""
    [stored] = await vandal.store.orders([order_id])
    assert stored.document is not None
    return stored.document["recorded_at"]


async def check_continuous(system: System, vandal: Vandal, order_id: str) -> None:
    """A projector finds and repairs a lost document by itself, and status and metrics say so."""
    await vandal.plant(Kind.DOCUMENT_MISSING, order_id)
    probes, stop = f"{HOST}:{free_port()}", asyncio.Event()
    # The status is of the last round. So no other one follows while the test looks.
    settings = query_settings(system, drift_budget=1, drift_round_seconds=3_600, probes_listen=probes)
    projector = asyncio.create_task(project(settings, stop))

    async def is_repaired() -> bool:
        assert not projector.done(), projector
        return (await vandal.store.orders([order_id]))[0].version >= 2

    async def is_told() -> bool:
        status = await system.queries.GetReadModelStatus(GetReadModelStatusRequest(), timeout=60)
        assert status.drift_checked_orders > 0
        return list(status.drift) == [DriftCount(kind=Kind.DOCUMENT_MISSING, found=1, repaired=1)]

    async def is_counted() -> bool:
        counted = [await drift_counts(probes, counter) for counter in ("found", "repaired")]
        return counted == [{Kind.DOCUMENT_MISSING: 1}] * 2

    before = now()
    try:
        await eventually(is_repaired, "a repaired document")
        await eventually(is_told, "what the check found in the status")
        await eventually(is_counted, "what the check found in the metrics")
        assert not await DriftClaim(vandal.store, "another", lambda: before).take()
    finally:
        stop.set()
        await projector


async def test_every_kind_is_found_and_repaired_while_orders_are_written(own_system: System) -> None:
    await plant_and_repair(own_system, 1)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_kind_is_found_among_a_hundred_thousand_orders(own_system: System) -> None:
    await plant_and_repair(own_system, 10, more=100_000)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_half_an_hour_of_writes_kills_and_outages_raises_no_alarm(
    private_postgres: PrivatePostgres,
    private_nats: PrivateNats,
    private_elasticsearch: PrivateElasticsearch,
    tmp_path: Path,
) -> None:
    postgres, nats, elasticsearch = await private_postgres(), await private_nats(), await private_elasticsearch()
    stores = {"postgres": postgres, "nats": nats, "elasticsearch": elasticsearch}
    async with (
        running_system(postgres.url, nats.url, elasticsearch.url, tmp_path, of_process=ALL_THE_TIME) as system,
        Vandal.of(system) as vandal,
    ):
        order_ids = await place_orders(system, 500)
        await eventually(lambda: vandal.is_projected(order_ids), "a read model with all orders", within=600)
        async with writing(system, order_ids) as commands:
            await check_through_outages(system, stores, commands, seconds=1_800, seed=chosen_seed())
            await no_alarm_of_the_projector(system)
        await take_checks_over(system, vandal)
        await vandal.plant(Kind.DOCUMENT_ALTERED, order_ids[0])
        for _ in range(TRIES):
            if not (report := await check(system)).error:
                break
            print(report.error, flush=True)
        assert not report.error
        # The check would also be silent if it saw nothing.
        assert kinds_found(report.document) == {Kind.DOCUMENT_ALTERED: {order_ids[0]}}


async def check_through_outages(
    system: System, stores: Mapping[str, LocalServer], commands: Sequence[int], seconds: float, seed: int
) -> None:
    """Runs one round after the other, and asserts that none of them finds anything.

    After each completed round a process is killed, or a store is away for a while.
    """
    source, ends = random.Random(seed), time.monotonic() + seconds
    print(f"seed {seed}", flush=True)
    ended: collections.Counter[str] = collections.Counter()
    turns: list[str] = []
    rounds = completed = 0
    last_completed = True
    while time.monotonic() < ends:
        checking = asyncio.create_task(check(system))
        turns = turns or source.sample([*PROCESSES, *stores], len(PROCESSES) + len(stores))
        victim = turns.pop() if last_completed else ""
        await asyncio.sleep(source.uniform(0, LONGEST_ROUND_SECONDS) if victim else 0)
        if victim in stores:
            await stores[victim].kill()
            await asyncio.sleep(source.uniform(0, LONGEST_OUTAGE_SECONDS))
            await stores[victim].start()
        elif victim:
            system.kill(victim)
        ended[victim or "nothing"] += 1
        report = await checking
        last_completed = not report.error
        rounds, completed = rounds + 1, completed + last_completed
        assert report.error or kinds_found(report.document) == {}, report.document
        print(
            f"{ends - time.monotonic():.0f} s left; {completed} of {rounds} rounds completed; {commands[0]}"
            f" pairs of commands; ended {victim or 'nothing'}; {report.error}",
            flush=True,
        )
    print(f"{completed} of {rounds} rounds completed, ended: {dict(ended)}", flush=True)
    assert completed >= 10
    assert all(ended[name] for name in stores)


async def no_alarm_of_the_projector(system: System) -> None:
    """Asserts that the projector, which has checked beside the test all the time, has found nothing either."""
    projector = system.processes["query-project"]

    async def has_checked() -> bool:
        with contextlib.suppress(OSError):  # it was killed, and is just starting
            page = (await http_get(projector.probes, "/metrics"))[1]
            return re.search(r"^projector_drift_check_seconds_count [1-9]", page, re.MULTILINE) is not None
        return False

    await eventually(has_checked, "a check by the projector itself", within=1_200, every=1.0)
    assert (await drift_counts(projector.probes, "found"), await drift_counts(projector.probes, "repaired")) == ({}, {})
    # Its counters begin at 0 when it is started again, and its log goes on.
    assert "drift found" not in projector.log.read_text()


async def take_checks_over(system: System, vandal: Vandal) -> None:
    """Takes the claim from the projector, and kills the one that may be at work: only the test checks from now on."""
    saved = False
    while not saved:
        stored = await vandal.store.drift_record()
        claimed = replace(stored.record, holder="the test", lease_until=now() + 3_600_000_000)
        saved = await vandal.store.save_drift_record(claimed, stored)
    system.kill("query-project")


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_a_projector_keeps_the_budget_of_its_check(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path
) -> None:
    """Of two projectors one has the claim, so the processor time of the other one is that of a projector alone."""
    budget = {"query-project": {"QUERY_DRIFT_BUDGET": "0.01"}}
    orders, seconds = 20_000, 120
    async with (
        running_system(postgres_url, nats_url, elasticsearch_url, tmp_path, readers=2, of_process=budget) as system,
        Vandal.of(system) as vandal,
    ):
        order_ids = await fill(system, orders, seed=1)

        async def is_checked() -> bool:
            record = (await vandal.store.drift_record()).record
            return record.orders == orders and not record.problem

        await eventually(is_checked, "a round over all orders", within=3_600)
        holder = (await vandal.store.drift_record()).record.holder
        used = {}
        for name in ("query-project", "query-project-2"):
            process = psutil.Process(system.processes[name].pid)
            used[f"/{process.pid}/" in holder] = process.cpu_times
        before, begun = {checks: sum(times()[:2]) for checks, times in used.items()}, time.monotonic()
        await asyncio.sleep(seconds)
        passed = time.monotonic() - begun
        share = {checks: (sum(times()[:2]) - before[checks]) / passed for checks, times in used.items()}
        print(f"{len(order_ids)} orders: {share[True]:.2%} of a core with the check, {share[False]:.2%} without")
        assert 0 < share[True] - share[False] <= 0.02
