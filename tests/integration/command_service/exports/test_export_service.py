"""The export service as its callers see it: its address, its messages, its limits and its refusals."""

from __future__ import annotations

import asyncio
import re
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import Parse
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.errors import OrderError, from_rpc_error
from tandem.orders.v1 import order_export_service_pb2 as contract
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub

from command_service.domain.commands import HoldOrder, NewLine
from command_service.domain.money import Money
from tests.fixtures.command_process import ANY_PORT, CommandProcess, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import execute, migrated_database
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.exports import MULTIPLY

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceAsyncStub

#: Orders of 500 lines: 2 events each, about 300 kB.
LARGE_ORDERS = 60


@asynccontextmanager
async def exports_of(process: CommandProcess) -> AsyncIterator[OrderExportServiceAsyncStub]:
    async with grpc.aio.insecure_channel(process.exports) as channel:
        yield OrderExportServiceStub(channel)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large(migrated_template: Templates) -> AsyncIterator[CommandProcess]:
    """A process whose orders are as large as orders get."""
    async with migrated_database(migrated_template) as url:
        line = NewLine("SKU", "x" * 200, Money("EUR", 1_99), 3)
        lines = tuple(replace(line, sku=f"{number:064}") for number in range(500))
        async with application(url) as orders:
            order_id = uuid4()
            await orders.place(call(), place_order(order_id, lines=lines))
            await orders.change(call(), HoldOrder(order_id))
        await execute(url, f"{MULTIPLY.format(copies=LARGE_ORDERS - 1)} RETURNING 1")
        async with serving(url, export_listen=ANY_PORT, export_max_calls="2") as process:
            yield process


@pytest.mark.parametrize("view", [contract.EXPORT_VIEW_ORDER, contract.EXPORT_VIEW_JOURNAL])
async def test_no_page_is_larger_than_clients_accept(
    large: CommandProcess, view: contract.ExportView.ValueType
) -> None:
    async with exports_of(large) as exports:
        orders = 0
        async for page in exports.ExportOrders(contract.ExportOrdersRequest(page_size=1_000, view=view)):
            assert page.ByteSize() < 4 * 1024 * 1024
            orders += len(page.orders)
        assert orders == LARGE_ORDERS


async def test_a_caller_that_does_not_read_stops_the_export_and_one_that_leaves_ends_it(large: CommandProcess) -> None:
    async with exports_of(large) as exports:
        before = await exported(large)
        stalled: Any = exports.ExportOrders(contract.ExportOrdersRequest(view=contract.EXPORT_VIEW_JOURNAL))
        await stalled.read()
        heads = contract.ExportOrdersRequest(view=contract.EXPORT_VIEW_HEADS)
        assert sum([len(page.orders) async for page in exports.ExportOrders(heads)]) == LARGE_ORDERS
        assert await exported(large) - before - LARGE_ORDERS < LARGE_ORDERS / 2
        # The second place is free again.
        second: Any = exports.ExportOrders(contract.ExportOrdersRequest(view=contract.EXPORT_VIEW_JOURNAL))
        await second.read()
        assert (await refusal(exports.DigestOrders(contract.DigestOrdersRequest()))).reason == "OVERLOADED"
        stalled.cancel()
        second.cancel()
        async with asyncio.timeout(60):
            while "command_running_exports 0.0" not in await metrics(large):
                await asyncio.sleep(0.01)
        assert sum(one.orders for one in (await exports.DigestOrders(contract.DigestOrdersRequest())).partitions) > 0
    assert large.events("incident") == []


async def test_an_event_is_typed_if_that_is_asked_for(large: CommandProcess) -> None:
    async with exports_of(large) as exports:
        for typed in (False, True):
            request = contract.ExportEventsRequest(page_size=2, typed=typed, event_types=["ORDER_CREATED"])
            pages: Any = exports.ExportEvents(request)
            page = await pages.read()
            pages.cancel()
            for event in page.events:
                assert event.HasField("event") == event.HasField("personal") == typed
                if typed:
                    assert event.event == Parse(event.stored.payload, OrderEvent())
                    assert event.personal == Parse(event.stored.personal, OrderPersonalData())
                assert (event.position, event.hash) == (event.stored.position, event.stored.hash)
                assert event.stored.event_type == "ORDER_CREATED"


WRONG: dict[str, tuple[str, Any]] = {
    "after_order_id": ("ExportOrders", contract.ExportOrdersRequest(after_order_id="1")),
    "until_order_id": (
        "ExportOrders",
        contract.ExportOrdersRequest(after_order_id=f"{5:08}-{'0-' * 3}", until_order_id="x"),
    ),
    "page_size": ("ExportOrders", contract.ExportOrdersRequest(page_size=-1)),
    "partitions[1]": ("ExportOrders", contract.ExportOrdersRequest(partitions=[0, 64])),
    "view": ("ExportOrders", contract.ExportOrdersRequest(view=9)),  # type: ignore[arg-type]
    "customer_id": ("ExportOrders", contract.ExportOrdersRequest(customer_id=" C1")),
    "order_ids": ("ExportOrders", contract.ExportOrdersRequest(order_ids=[str(uuid4())] * 1_001)),
    "order_ids[0]": ("ExportEvents", contract.ExportEventsRequest(order_ids=["x"])),
    "recorded_until_time": (
        "ExportOrders",
        contract.ExportOrdersRequest(recorded_from_time=Timestamp(seconds=5), recorded_until_time=Timestamp(seconds=5)),
    ),
    "after_position": ("ExportEvents", contract.ExportEventsRequest(after_position=-1)),
    "event_types[0]": ("ExportEvents", contract.ExportEventsRequest(event_types=[""])),
    "partitions[0]": ("DigestOrders", contract.DigestOrdersRequest(partitions=[-1])),
    "parts": ("SplitOrders", contract.SplitOrdersRequest()),
}


@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_field_is_named(large: CommandProcess, field: str) -> None:
    method, request = WRONG[field]
    async with exports_of(large) as exports:
        answer = getattr(exports, method)(request)
        refused = await refusal(answer.read() if method.startswith("Export") else answer)
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert field in [violation.field for violation in refused.violations]


async def test_the_commands_address_has_no_exports(large: CommandProcess) -> None:
    async with grpc.aio.insecure_channel(large.address) as channel:
        answer = OrderExportServiceStub(channel).SplitOrders(contract.SplitOrdersRequest(parts=2))
        assert (await refusal(answer)).code == grpc.StatusCode.UNIMPLEMENTED


async def test_a_stopping_process_sends_its_callers_to_another_one(command_database: str) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), place_order())
    await execute(command_database, f"{MULTIPLY.format(copies=199)} RETURNING 1")
    slowly = {"export_listen": ANY_PORT, "export_orders_per_second": "4"}
    async with serving(command_database, **slowly) as process, exports_of(process) as exports:
        pages: Any = exports.ExportOrders(contract.ExportOrdersRequest(page_size=1))
        await pages.read()
        process.signal(signal.SIGTERM)

        async def to_its_end() -> None:
            while await pages.read() is not grpc.aio.EOF:
                pass

        refused = await refusal(to_its_end())
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert "resume the export after its last page" in refused.message
        assert await process.ended() == 0


async def refusal(answer: Any) -> OrderError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answer
    return from_rpc_error(refused.value)


async def metrics(process: CommandProcess) -> str:
    def page() -> str:
        with urllib.request.urlopen(f"http://{process.probes}/metrics", timeout=60) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(page)


async def exported(process: CommandProcess) -> float:
    found = re.search(r'command_exported_total\{kind="orders"\} (\S+)', await metrics(process))
    return float(found[1]) if found else 0.0
