"""Computes an order's document from one event: the order after the event, joined with its personal data.

An event carries the whole order after the change. The document therefore needs no earlier state, and any projector may
write any event at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from query_service.projection.currency import FINEST_PARTS, finest_parts
from query_service.projection.lookup_key import lookup_key
from query_service.projection.order_document import (
    AddressDocument,
    CustomerDocument,
    LabelDocument,
    LineDocument,
    LineQuantityDocument,
    OmittedDocument,
    OrderDocument,
    Origin,
    PaymentDocument,
    RefundDocument,
    ReturnDocument,
    ShipmentDocument,
)
from query_service.projection.plain_parts import json_name, reader
from query_service.projection.proto_json import (
    Money,
    Object,
    enum,
    flag,
    identifier,
    integer,
    message,
    messages,
    money_in,
    text,
    text_map,
    timestamp,
)
from query_service.projection.returned import returned_total
from query_service.projection.sales import SaleKeys, calendar, sale
from query_service.projection.words.stored import search_text

# A customer's fields: the name within the order, and the name within its personal data.
_CONTACT = [
    (json_name(name), json_name(f"customer_{name}"))
    for name in CustomerDocument.__annotations__
    if name != "customer_id"
]
_address, _customer, _omitted = reader(AddressDocument), reader(CustomerDocument), reader(OmittedDocument)


def with_personal_data(order: Object, personal: Object | None) -> dict[str, Any]:
    """Returns a copy of the order with its personal fields restored. Without personal data it was redacted."""
    joined = dict(order)
    if personal is None:
        return joined
    contact = {name: text(personal, personal_name) for name, personal_name in _CONTACT}
    if any(contact.values()):
        joined["customer"] = {**(message(order, "customer") or {}), **contact}
    for field in ("billingAddress", "shippingAddress"):
        address = message(personal, field)
        if address is not None:
            joined[field] = {**(message(order, field) or {}), **address}
    joined |= {field: personal[field] for field in ("labels", "note") if field in personal}
    return joined


def evolve(order: Object, origin: Origin) -> OrderDocument:
    """Returns the document of an order, given as ProtoJSON `Order`. Raises ProjectionError naming the wrong field."""
    currency = text(order, "currencyCode")
    money = money_in(currency)
    lines = [_line(line, money) for line in messages(order, "lines")]
    customer = _customer(message(order, "customer"))
    billing = _address(message(order, "billingAddress"))
    at_home = order.get("shippingAddress") == order.get("billingAddress")
    shipping = billing if at_home else _address(message(order, "shippingAddress"))
    place_time = timestamp(order, "placeTime")
    payments = [_payment(payment, money) for payment in messages(order, "payments")]
    shipments = [_shipment(shipment) for shipment in messages(order, "shipments")]
    refunds = [_refund(refund, money) for refund in messages(order, "refunds")]
    order_id, order_number = identifier(text(order, "orderId"), "order.orderId"), text(order, "orderNumber")
    references = _distinct(paid["reference"] for paid in (*payments, *refunds))
    tracking_numbers = _distinct(shipment["tracking_number"] for shipment in shipments)
    labels = text_map(order, "labels")
    total_units, total_parts = _sortable(total := money(order, "total"), currency)
    keys = _sale_keys(order, currency, customer, shipping, place_time)
    document = OrderDocument(
        order_id=order_id,
        order_number=order_number,
        version=integer(order, "version"),
        payment_state=enum(order, "paymentState", "PAYMENT_STATE_"),
        fulfillment_state=enum(order, "fulfillmentState", "FULFILLMENT_STATE_"),
        on_hold=flag(order, "onHold"),
        customer=customer,
        billing_address=billing,
        shipping_address=shipping,
        lines=lines,
        freight=money(order, "freight"),
        net_total=money(order, "netTotal"),
        tax_total=money(order, "taxTotal"),
        total=total,
        paid_total=money(order, "paidTotal"),
        refunded_total=money(order, "refundedTotal"),
        refund_due=money(order, "refundDue"),
        payments=payments,
        shipments=shipments,
        returns=[_return(returned) for returned in messages(order, "returns")],
        refunds=refunds,
        place_time=place_time,
        update_time=timestamp(order, "updateTime"),
        redacted=flag(order, "redacted"),
        skus=list(dict.fromkeys(line["sku"] for line in lines)),
        payment_references=references,
        tracking_numbers=tracking_numbers,
        lookup_keys=_lookup_keys(order_number, order_id, *references, *tracking_numbers, *labels.values()),
        quantity=sum(line["quantity"] - line["cancelled_quantity"] for line in lines),
        total_units=total_units,
        total_parts=total_parts,
        returned_total=returned_total(lines),
        sales=[sale(line, keys) for line in lines],
        search_text=_search_text(order_number, lines, customer, billing, None if at_home else shipping),
        **keys,
        **origin,  # type: ignore[typeddict-item]  # what is not required is set below
    )
    _add_what_few_have(document, order, labels)
    return document


def _sale_keys(
    order: Object,
    currency: str,
    customer: CustomerDocument | None,
    shipping: AddressDocument | None,
    place_time: int | None,
) -> SaleKeys:
    """Returns what the order and its lines are grouped by."""
    return SaleKeys(
        currency_code=currency,
        state=enum(order, "state", "ORDER_STATE_"),
        customer_id=customer["customer_id"] if customer else "",
        region_code=shipping["region_code"] if shipping else "",
        source=text(order, "source"),
        **calendar(place_time),
    )


def _add_what_few_have(document: OrderDocument, order: Object, labels: Mapping[str, str]) -> None:
    """Adds the fields that are not required: labels, note, and how many movements are omitted."""
    if (omitted := _omitted(message(order, "omitted"))) is not None:
        document["omitted"] = omitted
    if labels:
        document["labels"] = [LabelDocument(key=key, value=value) for key, value in sorted(labels.items())]
        document["label_pairs"] = [f"{label['key']}={label['value']}" for label in document["labels"]]
        document["label_keys"] = [label["key"] for label in document["labels"]]
    if note := text(order, "note"):
        document["note"] = note


def _sortable(total: int | None, currency: str) -> tuple[int | None, int]:
    """Splits a total into whole units and ten-thousandths of one, by which lists of several currencies sort it."""
    return (None, 0) if total is None else divmod(finest_parts(total, currency), FINEST_PARTS)


def _distinct(values: Iterable[str]) -> list[str]:
    """Returns each value once, in order of first appearance, without ""."""
    return [value for value in dict.fromkeys(values) if value]


def _lookup_keys(*texts: str) -> list[str]:
    return _distinct(map(lookup_key, texts))


def _line(line: Object, money: Money) -> LineDocument:
    return LineDocument(
        line_number=integer(line, "lineNumber"),
        sku=text(line, "sku"),
        product_name=text(line, "productName"),
        unit_price=money(line, "unitPrice"),
        quantity=integer(line, "quantity"),
        discount_basis_points=integer(line, "discountBasisPoints"),
        tax_rate_basis_points=integer(line, "taxRateBasisPoints"),
        net_amount=money(line, "netAmount"),
        tax_amount=money(line, "taxAmount"),
        cancelled_quantity=integer(line, "cancelledQuantity"),
        shipped_quantity=integer(line, "shippedQuantity"),
        delivered_quantity=integer(line, "deliveredQuantity"),
        returned_quantity=integer(line, "returnedQuantity"),
    )


def _items(source: Object) -> list[LineQuantityDocument]:
    return [
        LineQuantityDocument(line_number=integer(item, "lineNumber"), quantity=integer(item, "quantity"))
        for item in messages(source, "items")
    ]


def _payment(payment: Object, money: Money) -> PaymentDocument:
    return PaymentDocument(
        payment_id=text(payment, "paymentId"),
        amount=money(payment, "amount"),
        method=text(payment, "method"),
        reference=text(payment, "reference"),
        pay_time=timestamp(payment, "payTime"),
    )


def _shipment(shipment: Object) -> ShipmentDocument:
    return ShipmentDocument(
        shipment_id=text(shipment, "shipmentId"),
        items=_items(shipment),
        carrier=text(shipment, "carrier"),
        tracking_number=text(shipment, "trackingNumber"),
        ship_time=timestamp(shipment, "shipTime"),
        deliver_time=timestamp(shipment, "deliverTime"),
    )


def _return(returned: Object) -> ReturnDocument:
    return ReturnDocument(
        return_id=text(returned, "returnId"), items=_items(returned), return_time=timestamp(returned, "returnTime")
    )


def _refund(refund: Object, money: Money) -> RefundDocument:
    return RefundDocument(
        refund_id=text(refund, "refundId"),
        amount=money(refund, "amount"),
        reference=text(refund, "reference"),
        refund_time=timestamp(refund, "refundTime"),
    )


def _search_text(
    order_number: str, lines: list[LineDocument], customer: CustomerDocument | None, *addresses: AddressDocument | None
) -> str:
    codes, texts = [order_number, *(line["sku"] for line in lines)], list[str]()
    if customer is not None:
        codes.append(customer["customer_id"])
        texts += [customer["display_name"], customer["email"]]
    for address in addresses:
        if address is not None:
            codes.append(address["postal_code"])
            texts += [
                *address["recipients"],
                address["organization"],
                *address["address_lines"],
                address["sublocality"],
                address["locality"],
                address["administrative_area"],
                address["region_code"],
            ]
    texts += [line["product_name"] for line in lines]
    return search_text(texts, codes, phones=() if customer is None else [customer["phone"]])
