"""An import while every process is killed in turn: the same figures as without, read model = write model."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest
from tandem.orders.v1.order_query_service_pb2 import OrderDimension, OrderFilter, SummarizeOrdersRequest

from devstack.importers.northwind import SOURCE, read_northwind
from devstack.importers.run import ImportResult, import_orders, until_searchable
from tests.fixtures.system import System
from tests.support.northwind import write_company
from tests.support.robustness.order_by_order import differing_orders, write_model
from tests.support.robustness.validate import caught_up
from tests.support.waiting import eventually

PROCESSES = ("command", "relay", "query-project", "query-serve")
GIVEN = os.environ.get("NORTHWIND_DIR")


def cents(request: ImportOrdersRequest) -> int:
    """What an order charges."""
    return request.expected_total.units * 100 + request.expected_total.nanos // 10_000_000


async def import_under_fire(system: System, requests: list[ImportOrdersRequest]) -> ImportResult:
    """Imports while each process is killed once, spread over the import."""
    state = ImportResult()

    def follow(result: ImportResult) -> None:
        state.imported, state.replayed = result.imported, result.replayed

    importing = asyncio.create_task(import_orders(system.commands, requests, follow))
    for number, process in enumerate(PROCESSES):
        reached = len(requests) * (number + 1) // 6
        await eventually(lambda least=reached: state.answered >= least, f"{reached} orders are imported")  # type: ignore[misc]
        await eventually(lambda name=process: system.kill(name), f"{process} runs and can be killed")  # type: ignore[misc]
    return await importing


async def check(system: System, requests: list[ImportOrdersRequest]) -> None:
    """Imports under fire, imports again, and compares the books with the files."""
    result = await import_under_fire(system, requests)
    assert result.refused == {}
    assert result.answered == len(requests)
    again = await import_orders(system.commands, requests)
    assert (again.imported, again.replayed, again.refused) == (0, len(requests), {})
    await until_searchable(system.queries, SOURCE, requests[-1].order_number, again.last_token)
    summary = await system.queries.SummarizeOrders(
        SummarizeOrdersRequest(
            filter=OrderFilter(sources=[SOURCE]),
            group_by=[OrderDimension.ORDER_DIMENSION_STATE],
            include_cancelled=True,
        ),
        timeout=60,
    )
    (totals,) = summary.totals
    assert totals.orders == len(requests)
    assert totals.total.units * 100 + totals.total.nanos // 10_000_000 == sum(cents(request) for request in requests)
    await caught_up(system)
    assert await differing_orders(system) == []
    held = await write_model(system.postgres_url)
    assert len(held) == len(requests)


@pytest.mark.timeout(900)
async def test_a_small_company(own_system: System, tmp_path: Path) -> None:
    write_company(tmp_path / "company", orders=240)
    await check(own_system, read_northwind(tmp_path / "company"))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not GIVEN, reason="NORTHWIND_DIR is not set")
async def test_the_whole_company(own_system: System) -> None:
    assert GIVEN
    await check(own_system, read_northwind(Path(GIVEN)))
