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
    MoneyMessages,
    address_message,
    customer_message,
    money_message,
    money_messages,
    timestamp_message,
)

ORDER_STATES = {state: contract.OrderState.Value(f"ORDER_STATE_{state}") for state in OrderState}
PAYMENT_STATES = {state: contract.PaymentState.Value(f"PAYMENT_STATE_{state}") for state in PaymentState}
FULFILLMENT_STATES = {
    state: contract.FulfillmentState.Value(f"FULFILLMENT_STATE_{state}") for state in FulfillmentState
}


def order_message(order: Order, omitted: Omitted = NOTHING) -> contract.Order:
    """Returns the order with its personal data, without the oldest movements that `omitted` counts."""
    amounts, money = order.amounts, money_messages(order.currency)
    placed, shipping = timestamp_message(order.placed_at), address_message(order.shipping_address)
    return contract.Order(
        order_id=str(order.order_id),
        order_number=order.order_number,
        version=order.version,
        state=ORDER_STATES[order.state],
        payment_state=PAYMENT_STATES[order.payment_state],
        fulfillment_state=FULFILLMENT_STATES[order.fulfillment_state],
        on_hold=order.on_hold,
        source=order.source,
        customer=customer_message(order.customer),
        billing_address=(
            shipping if order.billing_address is order.shipping_address else address_message(order.billing_address)
        ),
        shipping_address=shipping,
        lines=[_line(line, money) for line in order.lines],
        currency_code=order.currency,
        freight=money(order.freight),
        net_total=money(order.net_total),
        tax_total=money(order.tax_total),
        total=money(order.total),
        paid_total=money(amounts.paid),
        refunded_total=money(amounts.refunded),
        refund_due=money(amounts.refund_due),
        payments=[payment_message(payment, order.currency) for payment in order.payments[omitted.payments :]],
        shipments=[shipment_message(shipment) for shipment in order.shipments[omitted.shipments :]],
        returns=[return_message(returned) for returned in order.returns[omitted.returns :]],
        refunds=[refund_message(refund, order.currency) for refund in order.refunds[omitted.refunds :]],
        place_time=placed,
        update_time=placed if order.updated_at is order.placed_at else timestamp_message(order.updated_at),
        redacted=order.redacted,
        labels=dict(order.labels) if order.labels else None,
        note=order.note,
        omitted=None if omitted == NOTHING else contract.OmittedMovements(**asdict(omitted)),
    )


def line_message(line: OrderLine, currency: str) -> contract.OrderLine:
    """Converts a line to a message. Amounts get `currency`."""
    return _line(line, money_messages(currency))


def _line(line: OrderLine, money: MoneyMessages) -> contract.OrderLine:
    return contract.OrderLine(
        line_number=line.line_number,
        sku=line.sku,
        product_name=line.product_name,
        unit_price=money(line.unit_price),
        quantity=line.quantity,
        discount_basis_points=line.discount_basis_points,
        tax_rate_basis_points=line.tax_rate_basis_points,
        net_amount=money(line.net_amount),
        tax_amount=money(line.tax_amount),
        cancelled_quantity=line.cancelled_quantity,
        shipped_quantity=line.shipped_quantity,
        delivered_quantity=line.delivered_quantity,
        returned_quantity=line.returned_quantity,
    )


def payment_message(payment: Payment, currency: str) -> contract.Payment:
    """Converts a payment to a message."""
    return contract.Payment(
        payment_id=payment.payment_id,
        amount=money_message(currency, payment.amount),
        method=payment.method,
        reference=payment.reference,
        pay_time=timestamp_message(payment.paid_at),
    )


def shipment_message(shipment: Shipment) -> contract.Shipment:
    """Converts a shipment to a message."""
    delivered = None if shipment.delivered_at is None else timestamp_message(shipment.delivered_at)
    return contract.Shipment(
        shipment_id=shipment.shipment_id,
        items=line_quantities(shipment.items),
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        ship_time=timestamp_message(shipment.shipped_at),
        deliver_time=delivered,
    )


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
