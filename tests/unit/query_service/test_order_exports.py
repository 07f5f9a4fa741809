"""Asking for exports: pages are resumed after the last complete order, and an export service that is down is named."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tandem.orders.v1 import order_export_service_pb2 as contract

from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.order_source import OrderSelection, SourceRefused
from query_service.handlers.source import order_exports
from query_service.handlers.source.order_exports import ATTEMPTS, MOST_IDS, OrderExports
from tests.support.source_mutants import Mutant, noticed

ORDERS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1, 8)]


class Exports:
    """Exports ORDERS with two events each. An event a page; the stream breaks after every third page."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, *, breaks_after: int = 3) -> None:
        self.requests: list[contract.ExportOrdersRequest] = []
        self._code, self._breaks_after = code, breaks_after

    async def export_orders(
        self, request: contract.ExportOrdersRequest, context: Any
    ) -> AsyncIterator[contract.ExportOrdersResponse]:
        self.requests.append(request)
        wanted = [one for one in request.order_ids or ORDERS if one > request.after_order_id]
        pages = [(order_id, version) for order_id in wanted for version in (1, 2)]
        last = request.after_order_id
        for number, (order_id, version) in enumerate(pages):
            if number == self._breaks_after:
                await context.abort(self._code, "broken on purpose")
            event = contract.StoredEvent(order_id=order_id, order_version=version)
            order = contract.ExportedOrder(order_id=order_id, version=2, events=[event], events_continue=version == 1)
            last = order_id if version == 2 else last
            yield contract.ExportOrdersResponse(orders=[order], last_order_id=last, source_epoch=1)


@contextlib.asynccontextmanager
async def asking(exports: Exports) -> AsyncIterator[OrderExports]:
    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(
        exports.export_orders,
        request_deserializer=contract.ExportOrdersRequest.FromString,
        response_serializer=contract.ExportOrdersResponse.SerializeToString,
    )
    service = contract.DESCRIPTOR.services_by_name["OrderExportService"].full_name
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"ExportOrders": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    source = OrderExports(f"127.0.0.1:{port}", first_pause=0.001)
    try:
        yield source
    finally:
        await source.close()
        await server.stop(None)


async def journals(exports: Exports, selection: OrderSelection) -> list[tuple[str, int, int]]:
    """Reads all journals: id, version, number of events."""
    async with asking(exports) as source:
        return [
            (journal.order_id, journal.version, len(journal.events))
            async for page in source.journals(selection)
            for journal in page.journals
        ]


async def test_a_stream_that_breaks_is_resumed_after_the_last_complete_order() -> None:
    exports = Exports()
    assert await journals(exports, OrderSelection()) == [(order_id, 2, 2) for order_id in ORDERS]
    assert [request.after_order_id for request in exports.requests] == ["", *ORDERS[:-1]]


async def test_only_the_named_orders_are_asked_for_and_none_means_none() -> None:
    exports = Exports(breaks_after=9)
    assert await journals(exports, OrderSelection(order_ids=[ORDERS[2], ORDERS[1]])) == [
        (ORDERS[1], 2, 2),
        (ORDERS[2], 2, 2),
    ]
    assert await journals(exports, OrderSelection(order_ids=[])) == []
    assert len(exports.requests) == 1
    many = [f"00000000-0000-4000-9000-{number:012d}" for number in range(MOST_IDS + 1)]
    exports = Exports(breaks_after=10_000)
    assert len(await journals(exports, OrderSelection(order_ids=many))) == len(many)
    assert [len(request.order_ids) for request in exports.requests] == [MOST_IDS, 1]


async def test_a_stream_that_never_gives_a_page_is_down() -> None:
    exports = Exports(breaks_after=0)
    with pytest.raises(DependencyDown, match="order-export: UNAVAILABLE: broken on purpose"):
        await journals(exports, OrderSelection())
    assert len(exports.requests) == ATTEMPTS


async def test_a_refusal_is_not_repeated() -> None:
    exports = Exports(grpc.StatusCode.INVALID_ARGUMENT, breaks_after=0)
    with pytest.raises(SourceRefused, match="INVALID_ARGUMENT: broken on purpose"):
        await journals(exports, OrderSelection())
    assert len(exports.requests) == 1


async def test_an_address_without_a_service_is_down() -> None:
    source = OrderExports("127.0.0.1:1", first_pause=0.001)
    with pytest.raises(DependencyDown, match="order-export"):
        await source.digests()
    await source.close()


@pytest.mark.mutant
async def test_resuming_from_the_start_is_noticed() -> None:
    mutant = Mutant(order_exports.OrderExports._resumed, "view, after)", "view, selection.after)")
    with noticed(mutant, or_raises=(DependencyDown,)):
        await test_a_stream_that_breaks_is_resumed_after_the_last_complete_order()
