"""Parts of pages outlive the release that made them, so what they say is told by their edition."""

import uuid
from hashlib import sha256

from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_query_service_pb2 import SearchOrdersResponse

from query_service.projection.order_document import OrderDocument
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.wire.order_message import basic_message
from query_service.wire.page_part import EDITION, basic_part, page_part
from tests.golden.order_book import order_book
from tests.support.queries.order_events import START, an_order, money, published, timestamp

#: Edition → what it makes of the golden orders and of one that has everything.
DIGESTS = {
    1: "b0d2d989f7f280ffb5e9fdcbac2f6c4d5ebd0d272e20c265ab8477b2fad2b560",
    2: "4bc99d6ed686d2d101e06c8faa922ed09e1a9de1419a720b26204a1ac619d221",
}


def _with_everything() -> OrderDocument:
    order, items, time = (
        an_order(str(uuid.UUID(int=1))),
        [types.LineQuantity(line_number=1, quantity=2)],
        timestamp(START),
    )
    order.on_hold = order.redacted = True
    order.payments.add(payment_id="p", amount=money(7), method="card", reference="r", pay_time=time)
    order.shipments.add(
        shipment_id="s", items=items, carrier="c", tracking_number="t", ship_time=time, deliver_time=time
    )
    order.returns.add(return_id="b", items=items, return_time=time)
    order.refunds.add(refund_id="f", amount=money(-7, -10_000_000), reference="r", refund_time=time)
    order.labels.update({"erp/id": "4711", "channel": "web"})
    order.note = "ring twice"
    message = published(order)
    return project(read_event(message.headers, message.body)).order


def test_another_part_is_another_edition() -> None:
    full = _with_everything()
    gaps = [name for name, value in full.items() if not value]
    assert set(gaps) <= {"revision", "paid_total", "refunded_total", "refund_due", "returned_total"}, (
        "no order has everything"
    )
    documents = [full, *(event.order for event in order_book())]
    assert (
        sha256(b"".join((*map(page_part, documents), *map(basic_part, documents)))).hexdigest() == DIGESTS[EDITION]
    ), "documents make other parts now: count EDITION up, so that the kept ones are made anew, and add its digest here"


def test_the_basic_view_is_a_smaller_part_of_the_whole() -> None:
    """Every field that it has says the same, and lines, movements and addresses are not there."""
    document = _with_everything()
    [whole] = SearchOrdersResponse.FromString(page_part(document)).orders
    [basic] = SearchOrdersResponse.FromString(basic_part(document)).orders
    merged = types.Order()
    merged.CopyFrom(whole)
    merged.MergeFrom(basic)
    assert merged == whole
    assert basic == basic_message(document)
    assert {field.name for field, _ in whole.ListFields()} - {field.name for field, _ in basic.ListFields()} == {
        "billing_address", "lines", "freight", "net_total", "tax_total", "paid_total", "refunded_total", "payments",
        "shipments", "returns", "refunds", "note",
    }  # fmt: skip
    assert not basic.shipping_address.address_lines
    assert not basic.customer.email
    assert 3 * basic.ByteSize() < whole.ByteSize()
