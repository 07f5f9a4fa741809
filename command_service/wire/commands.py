"""Turns validated requests into the domain's commands, and computes a request's fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2

from command_service.domain import commands
from command_service.domain.commands import ImportedPayment, ImportOrder, NewLine, OrderChange, PlaceOrder
from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity, Shipment
from command_service.wire.values import address_of, customer_of, money_of, time_of

#: Any request of a command: a message with `request_id`. The generated classes share no narrower type.
Request = Any
#: Kind of what a command makes → its id when the caller names none.
DerivedId = Callable[[str], UUID]


def fingerprint(request: Request) -> bytes:
    """Returns the SHA-256 over the request's type and its deterministic bytes without the request id.

    Upper and lower case of an order's id make no difference.
    """
    anonymous = type(request)()
    anonymous.CopyFrom(request)
    anonymous.ClearField("request_id")
    anonymous.order_id = anonymous.order_id.lower()
    kind = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\0" + anonymous.SerializeToString(deterministic=True)).digest()


def place_order(
    request: contract.PlaceOrderRequest | contract.ImportOrdersRequest, derived_id: DerivedId
) -> PlaceOrder:
    """Returns the command. `derived_id("order")` gives the order id if the caller names none."""
    return PlaceOrder(
        order_id=UUID(request.order_id) if request.order_id else derived_id("order"),
        order_number=request.order_number or None,
        source=request.source,
        customer=customer_of(request.customer),
        shipping_address=address_of(request.shipping_address),
        billing_address=address_of(request.billing_address) if request.HasField("billing_address") else None,
        lines=_new_lines(request.lines),
        freight=_money(request, "freight"),
        expected_total=_money(request, "expected_total"),
    )


def import_order(request: contract.ImportOrdersRequest, derived_id: DerivedId) -> ImportOrder:
    """Returns the command for one item of an import."""
    return ImportOrder(
        order=place_order(request, derived_id),
        placed_at=time_of(request.place_time),
        payments=tuple(
            ImportedPayment(
                payment_id=payment.payment_id,
                amount=money_of(payment.amount),
                method=payment.method,
                reference=payment.reference,
                paid_at=time_of(payment.pay_time),
            )
            for payment in request.payments
        ),
        shipments=tuple(
            Shipment(
                shipment_id=shipment.shipment_id,
                items=_items(shipment.items),
                carrier=shipment.carrier,
                tracking_number=shipment.tracking_number,
                shipped_at=time_of(shipment.ship_time),
                delivered_at=_time(shipment, "deliver_time"),
            )
            for shipment in request.shipments
        ),
        on_hold=request.on_hold,
    )


def order_change(request: Request, derived_id: DerivedId) -> OrderChange:
    """Returns the command for a request that changes an order.

    `derived_id` gives ids of movements that the caller does not name. Raises TypeError for any other request.
    """
    order_id = UUID(request.order_id)
    match request:
        case contract.ReviseOrderRequest():
            lines, freight = _new_lines(request.lines), _money(request, "freight")
            return commands.ReviseOrder(order_id, lines, freight, _money(request, "expected_total"))
        case contract.ChangeShippingAddressRequest():
            return commands.ChangeShippingAddress(order_id, address_of(request.shipping_address))
        case contract.RecordPaymentRequest():
            return commands.RecordPayment(
                order_id,
                payment_id=request.payment_id or str(derived_id("payment")),
                amount=money_of(request.amount),
                method=request.method,
                reference=request.reference,
                paid_at=_time(request, "pay_time"),
            )
        case contract.ShipOrderRequest():
            return commands.ShipOrder(
                order_id,
                shipment_id=request.shipment_id or str(derived_id("shipment")),
                items=_items(request.items),
                carrier=request.carrier,
                tracking_number=request.tracking_number,
                shipped_at=_time(request, "ship_time"),
            )
        case contract.RecordDeliveryRequest():
            return commands.RecordDelivery(order_id, request.shipment_id, _time(request, "deliver_time"))
        case contract.CancelOrderRequest():
            return commands.CancelOrder(order_id, _items(request.items))
        case contract.ReturnItemsRequest():
            return commands.ReturnItems(
                order_id,
                return_id=request.return_id or str(derived_id("return")),
                items=_items(request.items),
                returned_at=_time(request, "return_time"),
            )
        case contract.RefundOrderRequest():
            return commands.RefundOrder(
                order_id,
                refund_id=request.refund_id or str(derived_id("refund")),
                amount=money_of(request.amount),
                reference=request.reference,
                refunded_at=_time(request, "refund_time"),
            )
        case contract.HoldOrderRequest():
            return commands.HoldOrder(order_id)
        case contract.ReleaseOrderRequest():
            return commands.ReleaseOrder(order_id)
    raise TypeError(f"{request.DESCRIPTOR.full_name} changes no order")


def _money(message: Any, field: str) -> Money | None:
    return money_of(getattr(message, field)) if message.HasField(field) else None


def _time(message: Any, field: str) -> datetime | None:
    return time_of(getattr(message, field)) if message.HasField(field) else None


def _items(items: Iterable[order_types_pb2.LineQuantity]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(item.line_number, item.quantity) for item in items)


def _new_lines(lines: Iterable[contract.NewOrderLine]) -> tuple[NewLine, ...]:
    return tuple(
        NewLine(
            sku=line.sku,
            product_name=line.product_name,
            unit_price=money_of(line.unit_price),
            quantity=line.quantity,
            discount_basis_points=line.discount_basis_points,
            tax_rate_basis_points=line.tax_rate_basis_points,
        )
        for line in lines
    )
