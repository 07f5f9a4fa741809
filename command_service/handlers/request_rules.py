"""Lists the checks of every field of every request: request type → field path → check.

In a path, a dot leads to a field of a message, and `[]` stands for every element of a list. Every field of every
request has an entry, even if any value is valid. A test compares the table with the contract.
"""

from __future__ import annotations

from collections.abc import Mapping

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.domain.money import BASIS_POINTS
from command_service.domain.rules import MAX_LABELS, MAX_LINES, MAX_QUANTITY
from command_service.handlers.label_checks import MAX_NOTE_LENGTH, SET_OR_REMOVED, label_key, labels
from command_service.handlers.order_checks import money, region_code
from command_service.handlers.order_relations import ONE_CURRENCY, SHIPPED_ITEMS
from service_runtime.edge.field_checks import (
    ANY,
    OPTIONAL,
    REQUIRED,
    Check,
    count,
    email,
    identifier,
    integer,
    language_code,
    must,
    text,
    timestamp,
    uuid,
)
from service_runtime.edge.request_validation import Relation, Rules, Validator

_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1
_MAX_MOVEMENTS = 1_000
_REASON, _NOTE = text(500), text(MAX_NOTE_LENGTH)


def _under(path: str, rules: Rules) -> dict[str, Check]:
    return {f"{path}.{field}": check for field, check in rules.items()}


def _address(*, withdrawn: bool) -> Rules:
    return {
        "revision": integer(0, 0),
        "region_code": region_code(withdrawn=withdrawn),
        "language_code": language_code(),
        "postal_code": text(20),
        "sorting_code": text(40),
        "administrative_area": text(100),
        "locality": text(100),
        "sublocality": text(100),
        "address_lines": count(0, 10),
        "address_lines[]": text(200),
        "recipients": count(0, 10),
        "recipients[]": text(200),
        "organization": text(200),
    }


_CUSTOMER: Rules = {
    "customer_id": identifier(64, required=True),
    "display_name": text(200),
    "email": email(254),
    "phone": text(40),
}


#: A new order numbers its lines itself.
_NO_LINE_NUMBER = must("be absent: only ReviseOrder takes it", lambda number: number == 0)


def _lines(line_number: Check, *, withdrawn: bool) -> Rules:
    line: Rules = {
        "sku": identifier(64, required=True),
        "product_name": text(200, required=True),
        "unit_price": money(0, required=True, withdrawn=withdrawn),
        "quantity": integer(1, MAX_QUANTITY),
        "discount_basis_points": integer(0, BASIS_POINTS),
        "tax_rate_basis_points": integer(0, BASIS_POINTS),
        "line_number": line_number,
    }
    return {
        "lines": count(1, MAX_LINES),
        **_under("lines[]", line),
        "freight": money(0, required=False, withdrawn=withdrawn),
        "expected_total": money(0, required=False, withdrawn=withdrawn),
    }


_LINE_QUANTITY: Rules = {"line_number": integer(1, _MAX_INT32), "quantity": integer(1, MAX_QUANTITY)}


def _items(least: int) -> Rules:
    return {"items": count(least, MAX_LINES), **_under("items[]", _LINE_QUANTITY)}


def _new_order(*, withdrawn: bool) -> Rules:
    """Returns the rules of a new order. With `withdrawn`, for imports, currencies and countries may be former ones."""
    return {
        "request_id": uuid(required=True),
        "order_id": uuid(required=False),
        "reason": _REASON,
        "customer": REQUIRED,
        **_under("customer", _CUSTOMER),
        "shipping_address": REQUIRED,
        **_under("shipping_address", _address(withdrawn=withdrawn)),
        "billing_address": OPTIONAL,
        **_under("billing_address", _address(withdrawn=withdrawn)),
        **_lines(_NO_LINE_NUMBER, withdrawn=withdrawn),
        "labels": labels(),
        "note": _NOTE,
    }


#: The rules of the fields that every command on an existing order has.
_EXISTING_ORDER: Rules = {
    "request_id": uuid(required=True),
    "order_id": uuid(required=True),
    "expected_version": integer(1, _MAX_INT64),
    "reason": _REASON,
}
_PAYMENT: Rules = {
    "payment_id": identifier(64, required=True),
    "amount": money(1, required=True),
    "method": identifier(40, required=True),
    "reference": identifier(200),
    "pay_time": timestamp(required=True),
}
_SHIPMENT: Rules = {
    "shipment_id": identifier(64, required=True),
    **_items(1),
    "carrier": text(100),
    "tracking_number": identifier(100),
    "ship_time": timestamp(required=True),
    "deliver_time": timestamp(required=False),
}

REQUEST_RULES: Mapping[str, Rules] = {
    contract.PlaceOrderRequest.DESCRIPTOR.full_name: {
        **_new_order(withdrawn=False),
        "expected_version": integer(0, 0),
        "source": identifier(64),
        "order_number": identifier(64),
    },
    contract.ReviseOrderRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        **_lines(integer(0, _MAX_INT32), withdrawn=True),
    },
    contract.ChangeShippingAddressRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        "shipping_address": REQUIRED,
        **_under("shipping_address", _address(withdrawn=False)),
    },
    contract.RecordPaymentRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        "amount": money(1, required=True),
        "method": identifier(40, required=True),
        "reference": identifier(200),
        "payment_id": identifier(64),
        "pay_time": timestamp(required=False),
    },
    contract.ShipOrderRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        **_items(0),
        "carrier": text(100),
        "tracking_number": identifier(100),
        "shipment_id": identifier(64),
        "ship_time": timestamp(required=False),
    },
    contract.RecordDeliveryRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        "shipment_id": identifier(64, required=True),
        "deliver_time": timestamp(required=False),
    },
    contract.CancelOrderRequest.DESCRIPTOR.full_name: {**_EXISTING_ORDER, **_items(0)},
    contract.ReturnItemsRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        **_items(1),
        "return_id": identifier(64),
        "return_time": timestamp(required=False),
    },
    contract.RefundOrderRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        "amount": money(1, required=True),
        "reference": identifier(200),
        "refund_id": identifier(64),
        "refund_time": timestamp(required=False),
    },
    contract.HoldOrderRequest.DESCRIPTOR.full_name: _EXISTING_ORDER,
    contract.ReleaseOrderRequest.DESCRIPTOR.full_name: _EXISTING_ORDER,
    contract.LabelOrderRequest.DESCRIPTOR.full_name: {
        **_EXISTING_ORDER,
        "set_labels": labels(),
        "remove_labels": count(0, MAX_LABELS),
        "remove_labels[]": label_key(),
        "note": _NOTE,
    },
    contract.ImportOrdersRequest.DESCRIPTOR.full_name: {
        **_new_order(withdrawn=True),
        "source": identifier(64, required=True),
        "order_number": identifier(64, required=True),
        "place_time": timestamp(required=True),
        "payments": count(0, _MAX_MOVEMENTS),
        **_under("payments[]", _PAYMENT),
        "shipments": count(0, _MAX_MOVEMENTS),
        **_under("shipments[]", _SHIPMENT),
        "on_hold": ANY,
    },
    contract.RedactCustomerRequest.DESCRIPTOR.full_name: {
        "request_id": uuid(required=True),
        "customer_id": identifier(64, required=True),
        "reason": _REASON,
    },
}
#: Request type → the checks that involve several of its fields.
RELATIONS: Mapping[str, tuple[Relation, ...]] = {
    contract.PlaceOrderRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
    contract.ReviseOrderRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
    contract.LabelOrderRequest.DESCRIPTOR.full_name: (SET_OR_REMOVED,),
    contract.ImportOrdersRequest.DESCRIPTOR.full_name: (SHIPPED_ITEMS, ONE_CURRENCY),
}
validate = Validator(REQUEST_RULES, RELATIONS)
