"""Turns validated requests into the domain's commands, and computes a request's fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2

from command_service.domain import commands
from command_service.domain.commands import Command, ImportedPayment, ImportOrder, NewLine, PlaceOrder
from command_service.domain.labels import NO_LABELS, Labels
from command_service.domain.movements import LineQuantity, Shipment
from command_service.wire.values import address_of, customer_of, money_of, optional_money, optional_time, time_of

#: A request with a `request_id`. The generated classes share no narrower type than Any.
Request = Any
#: Returns the id of something new that the caller gave no id. The argument is its kind, for example `payment`.
DerivedId = Callable[[str], UUID]
#: Makes a command from a request. The second argument gives ids that the request lacks.
ToCommand = Callable[[Any, DerivedId], Command]


def fingerprint(request: Request) -> bytes:
    """Returns the SHA-256 of the request's type and its deterministic serialisation without the request id.

    Two requests whose order ids differ only in upper and lower case have the same fingerprint.
    """
    anonymous = type(request)()
    anonymous.CopyFrom(request)
    anonymous.ClearField("request_id")
    if "order_id" in request.DESCRIPTOR.fields_by_name:
        anonymous.order_id = anonymous.order_id.lower()
    kind = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\0" + anonymous.SerializeToString(deterministic=True)).digest()


def place_order(
    request: contract.PlaceOrderRequest | contract.ImportOrdersRequest, derived_id: DerivedId
) -> PlaceOrder:
    """Returns the command. If the request has no order id, `derived_id("order")` gives one."""
    return PlaceOrder(
        order_id=UUID(request.order_id) if request.order_id else derived_id("order"),
        order_number=request.order_number or None,
        source=request.source,
        customer=customer_of(request.customer),
        shipping_address=address_of(request.shipping_address),
        billing_address=address_of(request.billing_address) if request.HasField("billing_address") else None,
        lines=_new_lines(request.lines),
        freight=optional_money(request, "freight"),
        expected_total=optional_money(request, "expected_total"),
        labels=Labels(request.labels) if request.labels else NO_LABELS,
        note=request.note,
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
                delivered_at=optional_time(shipment, "deliver_time"),
            )
            for shipment in request.shipments
        ),
        on_hold=request.on_hold,
    )


def _revise(request: contract.ReviseOrderRequest, _: DerivedId) -> commands.ReviseOrder:
    return commands.ReviseOrder(
        UUID(request.order_id),
        lines=_new_lines(request.lines),
        freight=optional_money(request, "freight"),
        expected_total=optional_money(request, "expected_total"),
    )


def _redirect(request: contract.ChangeShippingAddressRequest, _: DerivedId) -> commands.ChangeShippingAddress:
    return commands.ChangeShippingAddress(UUID(request.order_id), address_of(request.shipping_address))


def _pay(request: contract.RecordPaymentRequest, derived_id: DerivedId) -> commands.RecordPayment:
    return commands.RecordPayment(
        UUID(request.order_id),
        payment_id=request.payment_id or str(derived_id("payment")),
        amount=money_of(request.amount),
        method=request.method,
        reference=request.reference,
        paid_at=optional_time(request, "pay_time"),
    )


def _ship(request: contract.ShipOrderRequest, derived_id: DerivedId) -> commands.ShipOrder:
    return commands.ShipOrder(
        UUID(request.order_id),
        shipment_id=request.shipment_id or str(derived_id("shipment")),
        items=_items(request.items),
        carrier=request.carrier,
        tracking_number=request.tracking_number,
        shipped_at=optional_time(request, "ship_time"),
    )


def _deliver(request: contract.RecordDeliveryRequest, _: DerivedId) -> commands.RecordDelivery:
    return commands.RecordDelivery(UUID(request.order_id), request.shipment_id, optional_time(request, "deliver_time"))


def _cancel(request: contract.CancelOrderRequest, _: DerivedId) -> commands.CancelOrder:
    return commands.CancelOrder(UUID(request.order_id), _items(request.items))


def _take_back(request: contract.ReturnItemsRequest, derived_id: DerivedId) -> commands.ReturnItems:
    return commands.ReturnItems(
        UUID(request.order_id),
        return_id=request.return_id or str(derived_id("return")),
        items=_items(request.items),
        returned_at=optional_time(request, "return_time"),
    )


def _refund(request: contract.RefundOrderRequest, derived_id: DerivedId) -> commands.RefundOrder:
    return commands.RefundOrder(
        UUID(request.order_id),
        refund_id=request.refund_id or str(derived_id("refund")),
        amount=money_of(request.amount),
        reference=request.reference,
        refunded_at=optional_time(request, "refund_time"),
    )


def _label(request: contract.LabelOrderRequest, _: DerivedId) -> commands.LabelOrder:
    return commands.LabelOrder(
        UUID(request.order_id),
        set_labels=Labels(request.set_labels),
        remove_labels=tuple(request.remove_labels),
        note=request.note if request.HasField("note") else None,
    )


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
            line_number=line.line_number or None,
        )
        for line in lines
    )


#: Name of each unary method → the function that makes the command from its request.
COMMANDS: Mapping[str, ToCommand] = {
    "PlaceOrder": place_order,
    "ReviseOrder": _revise,
    "ChangeShippingAddress": _redirect,
    "RecordPayment": _pay,
    "ShipOrder": _ship,
    "RecordDelivery": _deliver,
    "CancelOrder": _cancel,
    "ReturnItems": _take_back,
    "RefundOrder": _refund,
    "HoldOrder": lambda request, _: commands.HoldOrder(UUID(request.order_id)),
    "ReleaseOrder": lambda request, _: commands.ReleaseOrder(UUID(request.order_id)),
    "LabelOrder": _label,
}
