"""Orders of another system to import: realistic, random by seed, with payments and shipments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from tandem.orders.errors import OrderError, from_status
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, ImportOrdersResponse
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_types_pb2 import LineQuantity, Payment, Shipment

from tests.support.commands.orders import money, place_order_request

START = datetime(1996, 7, 4, tzinfo=UTC)


def import_request(source: random.Random, **changes: Any) -> ImportOrdersRequest:
    """Returns a valid item; two in three are paid and shipped, one in three is neither."""
    order = place_order_request(source, lines=2)
    placed = START + timedelta(days=source.randrange(600))
    request = ImportOrdersRequest(
        request_id=order.request_id,
        order_id=order.order_id,
        reason="import",
        customer=order.customer,
        shipping_address=order.shipping_address,
        lines=order.lines,
        freight=order.freight,
        source="elsewhere",
        order_number=order.order_id,
        place_time=_stamp(placed),
    )
    if source.randrange(3):
        shipped = _stamp(placed + timedelta(days=3))
        currency = order.freight.currency_code
        request.payments.append(
            Payment(payment_id="P", amount=money(10_00, currency), method="on_account", pay_time=shipped)
        )
        pieces = [LineQuantity(line_number=n, quantity=line.quantity) for n, line in enumerate(order.lines, start=1)]
        request.shipments.append(Shipment(shipment_id="S", items=pieces, ship_time=shipped))
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def import_requests(seed: int, count: int) -> list[ImportOrdersRequest]:
    """Returns `count` valid items, the same for the same seed."""
    source = random.Random(seed)
    return [import_request(source) for _ in range(count)]


async def import_all(stub: Any, requests: Iterable[ImportOrdersRequest]) -> list[ImportOrdersResponse]:
    """Sends all items over one stream; returns all results. Raises AioRpcError when the stream breaks."""

    async def sent() -> AsyncIterator[ImportOrdersRequest]:
        for request in requests:
            yield request

    return [response async for response in stub.ImportOrders(sent())]


async def import_until_broken(
    address: str, requests: Sequence[ImportOrdersRequest]
) -> tuple[list[ImportOrdersResponse], grpc.RpcError | None]:
    """Returns the results received, and the error that broke the stream, if any.

    It uses the blocking client. If the service ends a stream while the asyncio client writes a message, that client
    reports INTERNAL instead of the service's own status.
    """

    def imported() -> tuple[list[ImportOrdersResponse], grpc.RpcError | None]:
        results: list[ImportOrdersResponse] = []
        with grpc.insecure_channel(address) as channel:
            try:
                for response in OrderCommandServiceStub(channel).ImportOrders(iter(requests)):
                    results.append(response)  # noqa: PERF402 - what came before the break counts
            except grpc.RpcError as error:
                return results, error
        return results, None

    return await asyncio.to_thread(imported)


def refusal_of(response: ImportOrdersResponse) -> OrderError:
    """Returns the refusal of a refused item."""
    assert response.status
    return from_status(Status.FromString(response.status))


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
