"""Exports over a real database: what a page contains, how an export resumes, and what it refuses."""

from __future__ import annotations

from uuid import uuid4

import grpc
from tandem.orders.v1 import order_export_service_pb2 as contract
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub

from command_service.domain.commands import HoldOrder
from tests.fixtures.command_process import ANY_PORT, serving
from tests.support.commands.command_application import application, call, place_order


async def test_every_view_shows_every_order_once(command_database: str) -> None:
    placed = []
    async with application(command_database) as orders:
        for _ in range(20):
            placed.append(uuid4())
            await orders.place(call(), place_order(placed[-1]))
            await orders.change(call(), HoldOrder(placed[-1]))
    async with (
        serving(command_database, export_listen=ANY_PORT) as process,
        grpc.aio.insecure_channel(process.exports) as channel,
    ):
        stub = OrderExportServiceStub(channel)
        for view in contract.ExportView.values():
            pages = [page async for page in stub.ExportOrders(contract.ExportOrdersRequest(page_size=7, view=view))]
            assert [len(page.orders) for page in pages] == [7, 7, 6]
            exported = [order for page in pages for order in page.orders]
            assert [order.order_id for order in exported] == sorted(map(str, placed))
            assert {order.version for order in exported} == {2}
