"""`tandem export orders` writes an order in one line, on however many pages its events stand."""

from __future__ import annotations

import pytest
from tandem.orders.v1.order_export_service_pb2 import ExportedOrder, ExportOrdersResponse, StoredEvent

from devstack.cli.orders.exports import WholeOrders
from tests.support.source_mutants import Mutant, noticed


def part(order_id: str, *versions: int, more: bool = False) -> ExportedOrder:
    """Some events of an order."""
    events = [StoredEvent(order_id=order_id, order_version=version) for version in versions]
    return ExportedOrder(order_id=order_id, version=versions[-1], events=events, events_continue=more)


def parts_become_one_order() -> None:
    """The order `b` stands on three pages."""
    pages = [
        [part("a", 1), part("b", 1, 2, more=True)],
        [part("b", 3, more=True)],
        [part("b", 4), part("c", 1, 2)],
    ]
    whole = WholeOrders()
    found = [order for page in pages for order in whole.of_page(ExportOrdersResponse(orders=page))]
    assert found == [part("a", 1), part("b", 1, 2, 3, 4), part("c", 1, 2)]


def test_an_order_on_several_pages_is_written_once() -> None:
    parts_become_one_order()


@pytest.mark.mutant
def test_a_line_for_each_page_is_noticed() -> None:
    with noticed(Mutant(WholeOrders.of_page, "if order.events_continue:", "if False:")):
        parts_become_one_order()
