"""Writes an order as ProtoJSON text straight from the domain, without its personal data.

The outbox keeps this text for ever. It is the one that `google.protobuf.json_format` gives for the contract's message,
to the letter; a test checks this for random orders. It is not made from that message, because to read a message field
by field costs four times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from json.encoder import encode_basestring as quoted
from operator import attrgetter

from tandem.orders.minor_units import NANOS_PER_UNIT
from tandem.orders.v1 import order_types_pb2

from command_service.domain.line import OrderLine
from command_service.domain.money import exponent_of
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.wire.event_room import NOTHING, Omitted

#: Writes an amount of one currency, given in minor units.
Amounts = Callable[[int], str]


_QUANTITIES = tuple(
    (name, f'"{order_types_pb2.OrderLine.DESCRIPTOR.fields_by_name[name].json_name}":')
    for name in ("cancelled_quantity", "shipped_quantity", "delivered_quantity", "returned_quantity")
)
_moved_quantities = attrgetter(*(name for name, _ in _QUANTITIES))


def order_json(order: Order, omitted: Omitted = NOTHING) -> str:
    """Returns the order without its personal data, and without the oldest movements that `omitted` counts."""
    return "{" + ",".join(_order(order, omitted)) + "}"


def _order(order: Order, omitted: Omitted) -> Iterator[str]:
    money, amounts = _amounts_in(order.currency), order.amounts
    yield f'"orderId":"{order.order_id}","orderNumber":{quoted(order.order_number)},"version":"{order.version}"'
    yield f'"state":"ORDER_STATE_{order.state}","paymentState":"PAYMENT_STATE_{order.payment_state}"'
    yield f'"fulfillmentState":"FULFILLMENT_STATE_{order.fulfillment_state}"'
    if order.on_hold:
        yield '"onHold":true'
    if order.source:
        yield f'"source":{quoted(order.source)}'
    yield f'"customer":{{"customerId":{quoted(order.customer.customer_id)}}}'
    yield f'"billingAddress":{{"regionCode":{quoted(order.billing_address.region_code)}}}'
    yield f'"shippingAddress":{{"regionCode":{quoted(order.shipping_address.region_code)}}}'
    yield f'"lines":[{",".join([_line(line, money) for line in order.lines])}],"currencyCode":"{order.currency}"'
    yield f'"freight":{money(order.freight)},"netTotal":{money(order.net_total)}'
    yield f'"taxTotal":{money(order.tax_total)},"total":{money(order.total)}'
    yield f'"paidTotal":{money(amounts.paid)},"refundedTotal":{money(amounts.refunded)}'
    yield f'"refundDue":{money(amounts.refund_due)}'
    if order.moved:
        yield from _movements(order, omitted)
    yield f'"placeTime":{moment_json(order.placed_at)},"updateTime":{moment_json(order.updated_at)}'
    if order.redacted:
        yield '"redacted":true'
    if omitted != NOTHING:
        yield f'"omitted":{_omitted(omitted)}'


def moment_json(moment: datetime) -> str:
    """Returns a time in UTC, with as few of 0, 3 or 6 decimal places as it needs."""
    moment = moment.astimezone(UTC)
    if moment.microsecond % 1000:
        return f'"{moment.isoformat(timespec="microseconds")[:26]}Z"'
    return f'"{moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")[:-6]}Z"'


def _movements(order: Order, omitted: Omitted) -> Iterator[str]:
    money = _amounts_in(order.currency)
    lists = (
        ("payments", [payment_json(one, order.currency) for one in order.payments[omitted.payments :]]),
        ("shipments", [shipment_json(one) for one in order.shipments[omitted.shipments :]]),
        ("returns", [_return(one) for one in order.returns[omitted.returns :]]),
        ("refunds", [_refund(one, money) for one in order.refunds[omitted.refunds :]]),
    )
    return (f'"{name}":[{",".join(movements)}]' for name, movements in lists if movements)


@cache
def _amounts_in(currency: str) -> Amounts:
    """Returns the function that writes amounts of this currency."""
    scale = 10 ** exponent_of(currency)
    nanos, nothing = NANOS_PER_UNIT // scale, f'{{"currencyCode":"{currency}"}}'
    begin = nothing[:-1]

    def money(minor_units: int) -> str:
        if minor_units == 0:
            return nothing
        sign = "" if minor_units > 0 else "-"
        units, rest = divmod(abs(minor_units), scale)
        whole = f',"units":"{sign}{units}"' if units else ""
        return f'{begin}{whole},"nanos":{sign}{rest * nanos}}}' if rest else f"{begin}{whole}}}"

    return money


def _line(line: OrderLine, money: Amounts) -> str:
    text = (
        f'{{"lineNumber":{line.line_number},"sku":{quoted(line.sku)},"productName":{quoted(line.product_name)},'
        f'"unitPrice":{money(line.unit_price)},"quantity":{line.quantity},'
    )
    if line.discount_basis_points:
        text += f'"discountBasisPoints":{line.discount_basis_points},'
    if line.tax_rate_basis_points:
        text += f'"taxRateBasisPoints":{line.tax_rate_basis_points},'
    text += f'"netAmount":{money(line.net_amount)},"taxAmount":{money(line.tax_amount)}'
    moved = _moved_quantities(line)
    if any(moved):
        text += "".join(f",{member}{pieces}" for (_, member), pieces in zip(_QUANTITIES, moved, strict=True) if pieces)
    return text + "}"


def payment_json(payment: Payment, currency: str) -> str:
    """Returns a payment. Its amount gets `currency`."""
    texts = _texts(("method", payment.method), ("reference", payment.reference))
    return (
        f'{{"paymentId":{quoted(payment.payment_id)},"amount":{_amounts_in(currency)(payment.amount)},{texts}'
        f'"payTime":{moment_json(payment.paid_at)}}}'
    )


def shipment_json(shipment: Shipment) -> str:
    """Returns a shipment."""
    texts = _texts(("carrier", shipment.carrier), ("trackingNumber", shipment.tracking_number))
    arrived = "" if shipment.delivered_at is None else f',"deliverTime":{moment_json(shipment.delivered_at)}'
    return (
        f'{{"shipmentId":{quoted(shipment.shipment_id)},{_items(shipment.items)}{texts}'
        f'"shipTime":{moment_json(shipment.shipped_at)}{arrived}}}'
    )


def _return(returned: Return) -> str:
    return (
        f'{{"returnId":{quoted(returned.return_id)},{_items(returned.items)}'
        f'"returnTime":{moment_json(returned.returned_at)}}}'
    )


def _refund(refund: Refund, money: Amounts) -> str:
    return (
        f'{{"refundId":{quoted(refund.refund_id)},"amount":{money(refund.amount)},'
        f'{_texts(("reference", refund.reference))}"refundTime":{moment_json(refund.refunded_at)}}}'
    )


def _items(items: Iterable[LineQuantity]) -> str:
    texts = [f'{{"lineNumber":{item.line_number},"quantity":{item.quantity}}}' for item in items]
    return f'"items":[{",".join(texts)}],' if texts else ""


def _texts(*members: tuple[str, str]) -> str:
    return "".join(f'"{name}":{quoted(text)},' for name, text in members if text)


def _omitted(omitted: Omitted) -> str:
    counts = ((field.name, getattr(omitted, field.name)) for field in fields(omitted))
    return "{" + ",".join(f'"{name}":{count}' for name, count in counts if count) + "}"
