"""Drift is found and repaired in one round, and nothing else is reported, while orders are written."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tandem.orders.v1.order_command_service_pb2 import HoldOrderRequest, ReleaseOrderRequest
from tandem.orders.v1.order_query_service_pb2 import GetReadModelStatusRequest

from query_service.application.comparing.continuous import DriftClaim
from query_service.application.comparing.findings import Kind
from query_service.bootstrap import project
from query_service.checking import drift, reproject, selection
from query_service.clock import now
from query_service.drift_commands import CheckReport
from query_service.projection.external_version import version_parts
from tests.fixtures.system import System
from tests.support.commands.imports import import_all, import_requests
from tests.support.commands.orders import place_order_request
from tests.support.queries.planted_drift import Vandal, query_settings
from tests.support.queries.read_side import eventually

WRITERS = 4
#: Between two changes of a writer that runs beside the checks.
PAUSE_SECONDS = 0.02
#: Orders of an import's stream.
AT_ONCE = 1_000
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


def kinds_found(report: CheckReport) -> dict[str, set[str]]:
    """Returns the ids of the orders that a report names, by kind."""
    assert not report.error, report.error
    found: dict[str, set[str]] = {}
    for finding in report.document["findings"]:
        found.setdefault(finding["kind"], set()).add(finding["order_id"])
    return found


async def check(system: System, **options: Any) -> CheckReport:
    """Runs one round."""
    return await drift(query_settings(system), **options)


async def fill(system: System, orders: int, seed: int) -> list[str]:
    """Imports so many orders, and tells how far it is; returns their ids."""
    requests = import_requests(seed, orders)
    done = 0

    async def importer(number: int) -> None:
        nonlocal done
        for begin in range(number * AT_ONCE, orders, WRITERS * AT_ONCE):
            for response in await import_all(system.commands, requests[begin : begin + AT_ONCE]):
                assert not response.status, response
            done += len(requests[begin : begin + AT_ONCE])
            print(f"{done} of {orders} orders are imported", flush=True)

    await asyncio.gather(*(importer(number) for number in range(WRITERS)))
    return [request.order_id for request in requests]


async def plant_and_repair(system: System, each: int, more: int = 0, seed: int = 1) -> None:
    """The test: `each` orders are damaged in each way, found in one round, and repaired. `more` are left alone."""
    print(f"seed {seed}", flush=True)
    filled = await fill(system, more, seed) if more else []
    order_ids = await place_orders(system, len(KINDS) * each + 2 * WRITERS, seed)
    written, rest = order_ids[:WRITERS], order_ids[WRITERS:]
    async with Vandal.of(system) as vandal:
        await eventually(lambda: vandal.is_projected(rest), "a read model with all orders", within=1_200)
        async with writing(system, [*written, *filled]) as commands:
            planted = await plant_all(vandal, rest, each)
            before, begun = commands[0], time.monotonic()
            report = await check(system, repair=True, most_repairs=len(KINDS) * each)
            assert commands[0] > before
            assert kinds_found(report) == planted
            assert (report.exit_code, report.document["repaired"]) == (0, report.document["found"])
            print(f"{report.document['orders']} orders compared in {time.monotonic() - begun:.1f} s", flush=True)
            system.kill("query-project")
            again = await check(system)
            assert (kinds_found(again), again.exit_code) == ({}, 0)
        hidden, invented = (min(planted[kind]) for kind in (Kind.PARKED_UNRECORDED, Kind.ORDER_UNKNOWN))
        assert [one.version for one in await vandal.store.parked(hidden)] == [3]
        assert (await vandal.store.orders([invented]))[0].document is None
        await check_subsets(system, vandal, rest[-3:], planted[Kind.PARKED_UNRECORDED])
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
    tandem = Path(sys.executable).parent / "tandem"
    done = await asyncio.create_subprocess_exec(
        tandem, "rebuild", "order", by_order, "--json", env={**os.environ, **system.settings}, stdout=PIPE
    )
    answer, _ = await done.communicate()
    assert (done.returncode, json.loads(answer)["results"]) == (0, {"REPROJECTED": 1})
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
    """A projector finds and repairs a lost document by itself, and the status says so."""
    await vandal.plant(Kind.DOCUMENT_MISSING, order_id)
    settings = query_settings(system, drift_budget=1, drift_round_seconds=0.1, probes_listen="127.0.0.1:0")
    stop = asyncio.Event()
    projector = asyncio.create_task(project(settings, stop))

    async def is_repaired() -> bool:
        assert not projector.done(), projector
        return (await vandal.store.orders([order_id]))[0].version >= 2

    async def is_told() -> bool:
        status = await system.queries.GetReadModelStatus(GetReadModelStatusRequest(), timeout=60)
        return status.drift_checked_orders > 0 and status.drift_check_time.seconds >= int(before)

    before = time.time()
    try:
        await eventually(is_repaired, "a repaired document")
        await eventually(is_told, "a check in the status")
        assert not await DriftClaim(vandal.store, "another", now).take()
    finally:
        stop.set()
        await projector


@pytest.mark.timeout(600)
async def test_every_kind_is_found_and_repaired_while_orders_are_written(own_system: System) -> None:
    await plant_and_repair(own_system, 1)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_kind_is_found_among_a_hundred_thousand_orders(own_system: System) -> None:
    await plant_and_repair(own_system, 10, more=100_000)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_half_an_hour_of_writes_and_kills_raises_no_alarm(own_system: System) -> None:
    seed = 3
    source, ends = random.Random(seed), time.monotonic() + 1_800
    print(f"seed {seed}", flush=True)
    order_ids = await place_orders(own_system, 500)
    rounds, unfinished = 0, 0
    async with Vandal.of(own_system) as vandal:
        await eventually(lambda: vandal.is_projected(order_ids), "a read model with all orders", within=600)
        async with writing(own_system, order_ids) as commands:
            while time.monotonic() < ends:
                killed = source.choice(("query-project", "relay", "command"))
                own_system.kill(killed)
                report = await check(own_system)
                rounds, unfinished = rounds + 1, unfinished + bool(report.error)
                assert report.error or kinds_found(report) == {}, report.document
                print(
                    f"{ends - time.monotonic():.0f} s left; {rounds} rounds, {unfinished} of them not completed;"
                    f" {commands[0]} pairs of commands; killed {killed}; {report.error}",
                    flush=True,
                )
        await vandal.plant(Kind.DOCUMENT_ALTERED, order_ids[0])
        # The check would also be silent if it saw nothing.
        assert kinds_found(await check(own_system)) == {Kind.DOCUMENT_ALTERED: {order_ids[0]}}
    assert unfinished < rounds / 2
