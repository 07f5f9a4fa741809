"""Reads exports of all journals, again and again, until it is stopped. It is a process of its own, as a read side is.

Prints the number of orders of each page that it got, a line for each page.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
from tandem.orders.v1 import order_export_service_pb2 as contract
from tandem.orders.v1.order_export_service_pb2_grpc import OrderExportServiceStub


async def main(address: str) -> None:
    """Exports from `address` without end."""
    request = contract.ExportOrdersRequest(view=contract.EXPORT_VIEW_JOURNAL)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = OrderExportServiceStub(channel)
        while True:
            async for page in stub.ExportOrders(request):
                print(len(page.orders), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
