"""Requests that passed the request rules → the domain's commands, and the fingerprint of what was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.domain.commands import HoldOrder, NewLine, OrderChange, PlaceOrder, ReleaseOrder
from command_service.wire.values import address_of, customer_of, money_of

#: Any request of a command: a message with `request_id`. The generated classes share no narrower type.
Request = Any


def fingerprint(request: Request) -> bytes:
    """SHA-256 over the method's request type and the request's deterministic bytes without its id."""
    anonymous = type(request)()
    anonymous.CopyFrom(request)
    anonymous.ClearField("request_id")
    kind = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\0" + anonymous.SerializeToString(deterministic=True)).digest()


def place_order(request: contract.PlaceOrderRequest, derived_id: Callable[[str], UUID]) -> PlaceOrder:
    """The command; `derived_id("order")` gives the order id when the caller names none."""
    return PlaceOrder(
        order_id=UUID(request.order_id) if request.order_id else derived_id("order"),
        order_number=request.order_number or None,
        source=request.source,
        customer=customer_of(request.customer),
        shipping_address=address_of(request.shipping_address),
        billing_address=address_of(request.billing_address) if request.HasField("billing_address") else None,
        lines=tuple(_new_line(line) for line in request.lines),
        freight=money_of(request.freight) if request.HasField("freight") else None,
        expected_total=money_of(request.expected_total) if request.HasField("expected_total") else None,
    )


def order_change(request: Request, derived_id: Callable[[str], UUID]) -> OrderChange:
    """The command of a request to change an order."""
    match request:
        case contract.HoldOrderRequest():
            return HoldOrder(UUID(request.order_id))
        case contract.ReleaseOrderRequest():
            return ReleaseOrder(UUID(request.order_id))
    raise TypeError(f"{request.DESCRIPTOR.full_name} changes no order")


def _new_line(line: contract.NewOrderLine) -> NewLine:
    return NewLine(
        sku=line.sku,
        product_name=line.product_name,
        unit_price=money_of(line.unit_price),
        quantity=line.quantity,
        discount_basis_points=line.discount_basis_points,
        tax_rate_basis_points=line.tax_rate_basis_points,
    )
