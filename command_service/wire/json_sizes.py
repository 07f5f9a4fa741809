"""Counts the bytes of an order's parts in the outbox's JSON.

A value that a later event can change is counted with its largest possible size, so that later events fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_events_pb2, order_types_pb2

from command_service.domain.labels import Labels
from command_service.domain.line import OrderLine
from command_service.domain.money import BASIS_POINTS, MAX_AMOUNT
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, CONTACT_TEXTS, Address
from command_service.domain.rules import MAX_QUANTITY
from command_service.wire.json_text import json_text

Movement = TypeVar("Movement")
#: The most bytes that one character needs in JSON text.
_CHARACTER = 4
_ID, _METHOD, _REFERENCE, _CARRIER, _REASON = 64, 40, 200, 100, 500
#: Room for the caller's identity in the event, and for the headers, which contain it again.
_ACTOR, _HEADERS = 2_048, 3_072


def _size(message: Message) -> int:
    """Returns the bytes of a message as an element of a JSON list, with its comma."""
    return len(json_text(message).encode()) + 1


def _texts(texts: Iterable[str]) -> int:
    """Returns the bytes of the texts in JSON, escaped, without their quotes."""
    return len(encode_basestring("".join(texts)).encode()) - 2


_INT32, _INT64, _UUID = 2**31 - 1, 2**63 - 1, "018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"
_MONEY = Money(currency_code="EUR", units=MAX_AMOUNT, nanos=999_999_999)
_TIME = Timestamp(seconds=253_402_300_799, nanos=999_999_000)
_ITEM = order_types_pb2.LineQuantity(line_number=_INT32, quantity=MAX_QUANTITY)
# The size of each message with the largest possible numbers, with texts of one character, and with one item.
_ITEM_BYTES = _size(_ITEM)
_LINE_BYTES = _size(
    order_types_pb2.OrderLine(
        line_number=_INT32, sku="x", product_name="x", unit_price=_MONEY, quantity=MAX_QUANTITY,
        discount_basis_points=BASIS_POINTS, tax_rate_basis_points=BASIS_POINTS, net_amount=_MONEY, tax_amount=_MONEY,
        cancelled_quantity=MAX_QUANTITY, shipped_quantity=MAX_QUANTITY, delivered_quantity=MAX_QUANTITY,
        returned_quantity=MAX_QUANTITY,
    )
)  # fmt: skip
_PAYMENT_BYTES = _size(
    order_types_pb2.Payment(payment_id="x", amount=_MONEY, method="x", reference="x", pay_time=_TIME)
)
_SHIPMENT_BYTES = _size(
    order_types_pb2.Shipment(
        shipment_id="x", items=[_ITEM], carrier="x", tracking_number="x", ship_time=_TIME, deliver_time=_TIME
    )
)
_RETURN_BYTES = _size(order_types_pb2.Return(return_id="x", items=[_ITEM], return_time=_TIME))
_REFUND_BYTES = _size(order_types_pb2.Refund(refund_id="x", amount=_MONEY, reference="x", refund_time=_TIME))
# The texts of an address whose length varies: all except the country code of two letters.
_FREE_TEXTS = [name for name in ADDRESS_TEXTS if name != "region_code"]
_free_texts, _lists, _contact = attrgetter(*_FREE_TEXTS), attrgetter(*ADDRESS_LISTS), attrgetter(*CONTACT_TEXTS)
_SHORT_ADDRESS: dict[str, Any] = {**dict.fromkeys(_FREE_TEXTS, "x"), **{name: ["x"] for name in ADDRESS_LISTS}}
_SHORT_CONTACT: dict[str, Any] = {f"customer_{name}": "x" for name in CONTACT_TEXTS}
_ADDRESS_BYTES = _size(PostalAddress(region_code="DE", **_SHORT_ADDRESS))
_ORDER_BYTES = _size(
    order_types_pb2.Order(
        order_id=_UUID, order_number="x", version=_INT64, on_hold=True, source="x", redacted=True, currency_code="EUR",
        state=order_types_pb2.ORDER_STATE_DELIVERED, payment_state=order_types_pb2.PAYMENT_STATE_PARTIALLY_REFUNDED,
        fulfillment_state=order_types_pb2.FULFILLMENT_STATE_PARTIALLY_DELIVERED,
        customer=order_types_pb2.Customer(customer_id="x"), lines=[order_types_pb2.OrderLine()],
        payments=[order_types_pb2.Payment()], shipments=[order_types_pb2.Shipment()],
        returns=[order_types_pb2.Return()], refunds=[order_types_pb2.Refund()],
        billing_address=PostalAddress(region_code="DE"), shipping_address=PostalAddress(region_code="DE"),
        freight=_MONEY, net_total=_MONEY, tax_total=_MONEY, total=_MONEY, paid_total=_MONEY, refunded_total=_MONEY,
        refund_due=_MONEY, place_time=_TIME, update_time=_TIME,
        labels={"": ""}, note="x",
        omitted=order_types_pb2.OmittedMovements(payments=_INT32, shipments=_INT32, returns=_INT32, refunds=_INT32),
    )
)  # fmt: skip
#: What the separation of the personal data adds: the names of its fields, and the parts that are in both texts.
_PERSONAL_BYTES = _size(
    order_events_pb2.OrderPersonalData(
        **_SHORT_CONTACT,
        billing_address=PostalAddress(region_code="DE"), shipping_address=PostalAddress(region_code="DE"),
        labels={"": ""}, note="x", previous_labels={"": ""}, previous_note="x",
    )
)  # fmt: skip
#: The bytes of a label besides key and value: four quotes, a colon and a comma.
_LABEL_BYTES = 6
#: The largest size of an event's parts other than the order: its own fields with reason and previous state, and its
#: headers.
_AROUND_BYTES = (
    _size(
        order_events_pb2.OrderEvent(
            event_id=_UUID, order_id=_UUID, order_version=_INT64, event_type="ORDER_SHIPPING_ADDRESS_CHANGED",
            occur_time=_TIME, reason="x", actor="x", request_id=_UUID,
            order_cancelled=order_events_pb2.OrderCancelled(
                previous_total=_MONEY, previous_state=order_types_pb2.ORDER_STATE_DELIVERED
            ),
        )
    )
    + _REASON * _CHARACTER
    + _ACTOR
    + _HEADERS
)  # fmt: skip
_LARGEST_PAYMENT = _PAYMENT_BYTES + _CHARACTER * (_ID + _METHOD + _REFERENCE)
_LARGEST_REFUND = _REFUND_BYTES + _CHARACTER * (_ID + _REFERENCE)
_LARGEST_SHIPMENT = _SHIPMENT_BYTES + _CHARACTER * (_ID + 2 * _CARRIER)
_LARGEST_RETURN = _RETURN_BYTES + _CHARACTER * _ID


def newest_movements(order: Order) -> int:
    """Returns the largest possible bytes of one payment, one shipment, one return and one refund together."""
    return _LARGEST_PAYMENT + _LARGEST_REFUND + _LARGEST_SHIPMENT + _LARGEST_RETURN + 2 * _largest_items(order)


def without_movements(order: Order) -> int:
    """Returns the bytes of the largest possible later event of the order, without the movements in the order."""
    customer = order.customer
    texts = (order.order_number, order.source, customer.customer_id)
    return (
        _ORDER_BYTES
        + beside_the_order(order)
        + _texts((*texts, *_contact(customer)))
        + address_size(order.shipping_address)
        + address_size(order.billing_address)
        + sum(map(line_size, order.lines))
        + labels_size(order.labels)
        + note_size(order.note)
    )


def beside_the_order(order: Order) -> int:
    """Returns the bytes of the largest possible later event, without the order in it."""
    # The event contains the change too. A shipment of every line is the largest; a cancellation has no more items.
    change = _LARGEST_SHIPMENT + _largest_items(order)
    return _PERSONAL_BYTES + _AROUND_BYTES + change


def _largest_items(order: Order) -> int:
    """Returns the most bytes that the items of a movement can need: one item for each line."""
    number = max(line.line_number for line in order.lines)
    return len(order.lines) * (_ITEM_BYTES - len(str(_INT32)) + len(str(number)))


def movement_sizes(order: Order, room: int | None) -> list[list[int]]:
    """Returns the bytes of each payment, shipment, return and refund: four lists, the newest movement first.

    A list stops after the movement with which its sum exceeds `room`. None: the lists are complete.
    """
    return [
        _newest(order.payments, _payment, room),
        _newest(order.shipments, _shipment, room),
        _newest(order.returns, _return, room),
        _newest(order.refunds, _refund, room),
    ]


def _newest(movements: Sequence[Movement], size: Callable[[Movement], int], room: int | None) -> list[int]:
    sizes: list[int] = []
    total = 0
    for movement in reversed(movements):
        sizes.append(size(movement))
        total += sizes[-1]
        if room is not None and total > room:
            break
    return sizes


def line_size(line: OrderLine) -> int:
    """Returns the largest possible bytes of a line: its texts as they are, its numbers at their largest."""
    return _LINE_BYTES + _texts((line.sku, line.product_name))


def address_size(address: Address) -> int:
    """Returns the bytes of an address."""
    lists = [text for texts in _lists(address) for text in texts]
    return _ADDRESS_BYTES + _texts(_free_texts(address)) + _texts(lists) + 3 * len(lists)


def labels_size(labels: Labels) -> int:
    """Returns the bytes of labels."""
    return len(labels) * _LABEL_BYTES + _texts(text for label in labels.items() for text in label) if labels else 0


def note_size(note: str) -> int:
    """Returns the bytes of a note."""
    return _texts((note,)) if note else 0


def _payment(payment: Payment) -> int:
    return _PAYMENT_BYTES + _texts((payment.payment_id, payment.method, payment.reference))


def _shipment(shipment: Shipment) -> int:
    texts = (shipment.shipment_id, shipment.carrier, shipment.tracking_number)
    return _SHIPMENT_BYTES + _texts(texts) + _items(shipment.items)


def _return(returned: Return) -> int:
    return _RETURN_BYTES + _texts((returned.return_id,)) + _items(returned.items)


def _items(items: tuple[LineQuantity, ...]) -> int:
    digits = sum(len(str(item.line_number)) + len(str(item.quantity)) for item in items)
    return len(items) * (_ITEM_BYTES - len(str(_INT32)) - len(str(MAX_QUANTITY))) + digits


def _refund(refund: Refund) -> int:
    return _REFUND_BYTES + _texts((refund.refund_id, refund.reference))
