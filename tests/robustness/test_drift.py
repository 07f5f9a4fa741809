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
from tests.support.commands.orders import place_order_request
from tests.support.queries.planted_drift import Vandal, query_settings
from tests.support.queries.read_side import eventually

WRITERS = 4
#: Between two changes of a writer that runs beside the checks.
PAUSE_SECONDS = 0.02
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


async def plant_and_repair(system: System, orders: int, each: int) -> None:
    """The test: `each` orders are damaged in each way among `orders`, found in one round, and repaired."""
    order_ids = await place_orders(system, orders)
    written, rest = order_ids[: orders // 2], order_ids[orders // 2 :]
    async with Vandal.of(system) as vandal:
        await eventually(lambda: vandal.is_projected(rest), "a read model with all orders")
        async with writing(system, written) as commands:
            planted: dict[str, set[str]] = {}
            for number, kind in enumerate(KINDS):
                ids = rest[number * each : (number + 1) * each]
                planted[str(kind)] = {await vandal.plant(kind, order_id) for order_id in ids}
            before = commands[0]
            report = await check(system, repair=True, most_repairs=len(KINDS) * each)
            assert commands[0] > before
            assert kinds_found(report) == planted
            assert (report.exit_code, report.document["repaired"]) == (0, report.document["found"])
            system.kill("query-project")
            again = await check(system)
            assert (kinds_found(again), again.exit_code) == ({}, 0)
        hidden, invented = (min(planted[kind]) for kind in (Kind.PARKED_UNRECORDED, Kind.ORDER_UNKNOWN))
        assert [one.version for one in await vandal.store.parked(hidden)] == [3]
        assert (await vandal.store.orders([invented]))[0].document is None
        await check_subsets(system, vandal, rest[-3:], planted[Kind.PARKED_UNRECORDED])
        await check_continuous(system, vandal, rest[-1])
        await check_swap(system, vandal)


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


async def check_swap(system: System, vandal: Vandal) -> None:
    """Readers are sent to an empty index: found, and they are sent back."""
    await vandal.swap()
    report = await check(system, repair=True)
    assert (list(kinds_found(report)), report.exit_code) == ([Kind.INDEX_SWAPPED], 0), report.document
    assert report.document["repaired"] == {Kind.INDEX_SWAPPED: 1}


@pytest.mark.timeout(600)
async def test_every_kind_is_found_and_repaired_while_orders_are_written(own_system: System) -> None:
    await plant_and_repair(own_system, 40, 1)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_kind_is_found_among_a_hundred_thousand_orders(own_system: System) -> None:
    await plant_and_repair(own_system, 100_000, 10)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_half_an_hour_of_writes_and_kills_raises_no_alarm(own_system: System) -> None:
    source, ends = random.Random(3), time.monotonic() + 1_800
    order_ids = await place_orders(own_system, 500)
    rounds, unfinished = 0, 0
    async with writing(own_system, order_ids):
        while time.monotonic() < ends:
            own_system.kill(source.choice(("query-project", "relay", "command")))
            report = await check(own_system)
            rounds, unfinished = rounds + 1, unfinished + bool(report.error)
            assert report.error or kinds_found(report) == {}, report.document
            print(f"{rounds} rounds, {unfinished} of them not completed")
    assert unfinished < rounds
