"""Turns an order into the contract's `Order`, including the amounts and states that are computed from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from tandem.orders.v1 import order_types_pb2 as contract

from command_service.domain.line import OrderLine
from command_service.domain.movements import LineQuantity, Payment, Refund, Return, Shipment
from command_service.domain.order import Order
from command_service.domain.states import FulfillmentState, OrderState, PaymentState
from command_service.wire.event_room import NOTHING, Omitted
from command_service.wire.values import (
    MoneyFiller,
    fill_address,
    fill_customer,
    fill_timestamp,
    money_filler,
    money_message,
    timestamp_message,
)

ORDER_STATES = {state: contract.OrderState.Value(f"ORDER_STATE_{state}") for state in OrderState}
PAYMENT_STATES = {state: contract.PaymentState.Value(f"PAYMENT_STATE_{state}") for state in PaymentState}
FULFILLMENT_STATES = {
    state: contract.FulfillmentState.Value(f"FULFILLMENT_STATE_{state}") for state in FulfillmentState
}


def order_message(order: Order, omitted: Omitted = NOTHING) -> contract.Order:
    """Returns the order with its personal data, without the oldest movements that `omitted` counts.

    The fields are set one by one, which costs half as much as to pass them to the constructors and to copy messages.
    """
    message, fill = contract.Order(), money_filler(order.currency)
    message.order_id, message.order_number = str(order.order_id), order.order_number
    message.version, message.source = order.version, order.source
    message.state = ORDER_STATES[order.state]
    message.payment_state = PAYMENT_STATES[order.payment_state]
    message.fulfillment_state = FULFILLMENT_STATES[order.fulfillment_state]
    message.on_hold, message.redacted, message.note = order.on_hold, order.redacted, order.note
    fill_customer(message.customer, order.customer)
    fill_address(message.billing_address, order.billing_address)
    fill_address(message.shipping_address, order.shipping_address)
    for line in order.lines:
        _fill_line(message.lines.add(), line, fill)
    message.currency_code = order.currency
    fill(message.freight, order.freight)
    fill(message.net_total, order.net_total)
    fill(message.tax_total, order.tax_total)
    fill(message.total, order.total)
    fill(message.paid_total, order.amounts.paid)
    fill(message.refunded_total, order.amounts.refunded)
    fill(message.refund_due, order.amounts.refund_due)
    fill_timestamp(message.place_time, order.placed_at)
    fill_timestamp(message.update_time, order.updated_at)
    if order.moved:
        _add_movements(message, order, omitted)
    if order.labels:
        message.labels.update(order.labels)
    if omitted != NOTHING:
        message.omitted.CopyFrom(contract.OmittedMovements(**asdict(omitted)))
    return message


def _add_movements(message: contract.Order, order: Order, omitted: Omitted) -> None:
    currency, fill = order.currency, money_filler(order.currency)
    for payment in order.payments[omitted.payments :]:
        _fill_payment(message.payments.add(), payment, fill)
    for shipment in order.shipments[omitted.shipments :]:
        _fill_shipment(message.shipments.add(), shipment)
    message.returns.extend([return_message(one) for one in order.returns[omitted.returns :]])
    message.refunds.extend([refund_message(one, currency) for one in order.refunds[omitted.refunds :]])


def line_message(line: OrderLine, currency: str) -> contract.OrderLine:
    """Converts a line to a message. Amounts get `currency`."""
    message = contract.OrderLine()
    _fill_line(message, line, money_filler(currency))
    return message


def _fill_line(message: contract.OrderLine, line: OrderLine, fill: MoneyFiller) -> None:
    message.line_number, message.sku, message.product_name = line.line_number, line.sku, line.product_name
    fill(message.unit_price, line.unit_price)
    message.quantity = line.quantity
    message.discount_basis_points = line.discount_basis_points
    message.tax_rate_basis_points = line.tax_rate_basis_points
    fill(message.net_amount, line.net_amount)
    fill(message.tax_amount, line.tax_amount)
    message.cancelled_quantity = line.cancelled_quantity
    message.shipped_quantity = line.shipped_quantity
    message.delivered_quantity = line.delivered_quantity
    message.returned_quantity = line.returned_quantity


def payment_message(payment: Payment, currency: str) -> contract.Payment:
    """Converts a payment to a message."""
    message = contract.Payment()
    _fill_payment(message, payment, money_filler(currency))
    return message


def _fill_payment(message: contract.Payment, payment: Payment, fill: MoneyFiller) -> None:
    message.payment_id, message.method, message.reference = payment.payment_id, payment.method, payment.reference
    fill(message.amount, payment.amount)
    fill_timestamp(message.pay_time, payment.paid_at)


def shipment_message(shipment: Shipment) -> contract.Shipment:
    """Converts a shipment to a message."""
    message = contract.Shipment()
    _fill_shipment(message, shipment)
    return message


def _fill_shipment(message: contract.Shipment, shipment: Shipment) -> None:
    message.shipment_id, message.carrier = shipment.shipment_id, shipment.carrier
    message.tracking_number = shipment.tracking_number
    for item in shipment.items:
        listed = message.items.add()
        listed.line_number, listed.quantity = item.line_number, item.quantity
    fill_timestamp(message.ship_time, shipment.shipped_at)
    if shipment.delivered_at is not None:
        fill_timestamp(message.deliver_time, shipment.delivered_at)


def return_message(returned: Return) -> contract.Return:
    """Converts a return to a message."""
    return contract.Return(
        return_id=returned.return_id,
        items=line_quantities(returned.items),
        return_time=timestamp_message(returned.returned_at),
    )


def refund_message(refund: Refund, currency: str) -> contract.Refund:
    """Converts a refund to a message."""
    return contract.Refund(
        refund_id=refund.refund_id,
        amount=money_message(currency, refund.amount),
        reference=refund.reference,
        refund_time=timestamp_message(refund.refunded_at),
    )


def line_quantities(items: Iterable[LineQuantity]) -> list[contract.LineQuantity]:
    """Converts quantities of lines to messages."""
    return [contract.LineQuantity(line_number=item.line_number, quantity=item.quantity) for item in items]
