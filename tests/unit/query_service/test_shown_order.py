"""Encoded orders outlive the release that made them, so what they say is told by their edition."""

import uuid
from hashlib import sha256

from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.order_document import OrderDocument
from query_service.projection.project import project
from query_service.projection.shown_order import EDITION
from query_service.projection.stream_event import read_event
from tests.golden.order_book import order_book
from tests.support.queries.order_events import START, an_order, money, published, timestamp

#: Edition → what it makes of the golden orders and of one that has everything.
DIGESTS = {
    3: "22e6e929b68c0287ed38ed3c5b03fc323e405950575669ec09941bd590820fa8",
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
    views = (document[view] for view in ("order", "basic_order") for document in documents)
    assert sha256(b"".join(views)).hexdigest() == DIGESTS[EDITION], (
        "orders are encoded otherwise now: count EDITION up, so that kept ones are made anew, and add its digest here"
    )


def test_the_basic_view_is_a_part_of_the_whole() -> None:
    """Every field that it has says the same, and lines, movements and addresses are not there."""
    document = _with_everything()
    whole, basic = types.Order.FromString(document["order"]), types.Order.FromString(document["basic_order"])
    merged = types.Order()
    merged.CopyFrom(whole)
    merged.MergeFrom(basic)
    assert merged == whole
    assert {field.name for field, _ in whole.ListFields()} - {field.name for field, _ in basic.ListFields()} == {
        "billing_address", "lines", "freight", "net_total", "tax_total", "paid_total", "refunded_total", "payments",
        "shipments", "returns", "refunds", "note",
    }  # fmt: skip
    assert not basic.shipping_address.address_lines
    assert not basic.customer.email
    assert 3 * basic.ByteSize() < whole.ByteSize()
