"""Computes an order's document from one event: the order after the event, joined with its personal data.

An event carries the whole order after the change. The document therefore needs no earlier state, and any projector may
write any event at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from msgspec.structs import asdict

from query_service.projection.currency import FINEST_PARTS, finest_parts
from query_service.projection.lookup_key import lookup_key
from query_service.projection.order_document import OrderDocument, Origin, SaleDocument
from query_service.projection.proto_json import enum, identifier, integer
from query_service.projection.recorded_order import Address, Line, Order, Payment, PersonalData, Refund, contact
from query_service.projection.returned import returned_amount
from query_service.projection.sales import SaleKeys, calendar, sale
from query_service.projection.shown_order import AmountOf, Fields, amount_in, encoded, handled, moved, time_of
from query_service.projection.words.stored import search_text

#: The order's amounts, by their names in the document.
_AMOUNTS = {
    "freight": "freight",
    "net_total": "netTotal",
    "tax_total": "taxTotal",
    "total": "total",
    "paid_total": "paidTotal",
    "refunded_total": "refundedTotal",
    "refund_due": "refundDue",
}
_amounts_of = attrgetter(*_AMOUNTS)


class _Parties(NamedTuple):
    """The customer, and where the order is billed and shipped; None for what the order lacks."""

    customer: Fields | None
    billing: Fields | None
    shipping: Fields | None


class _Lines(NamedTuple):
    """The lines as they are shown, their sales, how many pieces are sold, and what those that came back had cost."""

    shown: list[Fields]
    sales: list[SaleDocument]
    quantity: int
    returned_total: int


def evolve(order: Order, personal: PersonalData | None, origin: Origin) -> OrderDocument:
    """Returns the document of an order. Without personal data it was redacted.

    Raises ProjectionError naming the wrong field.
    """
    currency = order.currency_code
    amount = amount_in(currency)
    parties = _parties(order, personal)
    place_time, shown_place_time = time_of(order.place_time, "placeTime")
    update_time, shown_update_time = time_of(order.update_time, "updateTime")
    labels, note = _labels_and_note(order, personal)
    keys = _sale_keys(order, parties, place_time)
    lines = _lines(order.lines, amount, keys)
    version = integer(order.version, "version")
    shown = asdict(order)
    amounts = _show_amounts(shown, order, amount)
    shown.update(
        version=version,
        customer=parties.customer,
        billing_address=parties.billing,
        shipping_address=parties.shipping,
        lines=lines.shown,
        place_time=shown_place_time,
        update_time=shown_update_time,
        labels=labels or None,
        note=note,
    )
    _show_movements(shown, order, amount)
    whole, basic = encoded(shown)
    order_id = identifier(order.order_id, "order.orderId")
    moves: Sequence[Payment | Refund] = (*order.payments, *order.refunds)
    references = _distinct([move.reference for move in moves])
    tracking_numbers = _distinct([shipment.tracking_number for shipment in order.shipments])
    skus = [line.sku for line in order.lines]
    total_units, total_parts = _sortable(amounts["total"], currency)
    document: OrderDocument = {
        "order": whole,
        "basic_order": basic,
        "order_id": order_id,
        "order_number": order.order_number,
        "version": version,
        "payment_state": enum(order.payment_state, "paymentState", "PAYMENT_STATE_"),
        "fulfillment_state": enum(order.fulfillment_state, "fulfillmentState", "FULFILLMENT_STATE_"),
        "on_hold": order.on_hold,
        "place_time": place_time,
        "update_time": update_time,
        "redacted": order.redacted,
        "skus": list(dict.fromkeys(skus)),
        "payment_references": references,
        "tracking_numbers": tracking_numbers,
        "lookup_keys": _lookup_keys(order.order_number, order_id, *references, *tracking_numbers, *labels.values()),
        "quantity": lines.quantity,
        "total_units": total_units,
        "total_parts": total_parts,
        "returned_total": lines.returned_total,
        "sales": lines.sales,
        "search_text": _search_text(order, parties, skus),
        **amounts,  # type: ignore[typeddict-item]
        **keys,
        **origin,
    }
    if labels:
        document["label_keys"] = sorted(labels)
        document["label_pairs"] = [f"{key}={labels[key]}" for key in document["label_keys"]]
    return document


def _show_amounts(shown: Fields, order: Order, amount: AmountOf) -> dict[str, int | None]:
    """Describes the order's amounts, and returns them in minor units."""
    minor: dict[str, int | None] = {}
    for (name, field), money in zip(_AMOUNTS.items(), _amounts_of(order), strict=True):
        minor[name], shown[name] = amount(money, field)
    return minor


def _show_movements(shown: Fields, order: Order, amount: AmountOf) -> None:
    """Describes payments, shipments, returns and refunds, and how many are omitted."""
    if order.payments:
        shown["payments"] = moved(order.payments, amount, "pay_time")
    if order.shipments:
        shown["shipments"] = handled(order.shipments, "ship_time", "deliver_time")
    if order.returns:
        shown["returns"] = handled(order.returns, "return_time")
    if order.refunds:
        shown["refunds"] = moved(order.refunds, amount, "refund_time")
    if order.omitted is not None:
        shown["omitted"] = asdict(order.omitted)


def _parties(order: Order, personal: PersonalData | None) -> _Parties:
    """Restores the personal fields of customer and addresses."""
    customer = None if order.customer is None else asdict(order.customer)
    if personal is None:
        billing_again = shipping_again = None
    else:
        billing_again, shipping_again = personal.billing_address, personal.shipping_address
        texts = contact(personal)
        if any(texts.values()):
            customer = {"customer_id": "", **(customer or {}), **texts}
    billing = _address(order.billing_address, billing_again)
    if order.shipping_address == order.billing_address and shipping_again == billing_again:
        return _Parties(customer, billing, billing)
    return _Parties(customer, billing, _address(order.shipping_address, shipping_again))


def _address(recorded: Address | None, personal: Address | None) -> Fields | None:
    if personal is None:
        return None if recorded is None else asdict(recorded)
    address = asdict(personal)
    if recorded is not None:
        for name, value in asdict(recorded).items():
            if value and not address[name]:
                address[name] = value
    return address


def _labels_and_note(order: Order, personal: PersonalData | None) -> tuple[dict[str, str], str]:
    if personal is None:
        return order.labels, order.note
    labels = order.labels if personal.labels is None else personal.labels
    return labels, order.note if personal.note is None else personal.note


def _sale_keys(order: Order, parties: _Parties, place_time: int | None) -> SaleKeys:
    """Returns what the order and its lines are grouped by."""
    return SaleKeys(
        currency_code=order.currency_code,
        state=enum(order.state, "state", "ORDER_STATE_"),
        customer_id=parties.customer["customer_id"] if parties.customer else "",
        region_code=parties.shipping["region_code"] if parties.shipping else "",
        source=order.source,
        **calendar(place_time),
    )


def _lines(lines: Sequence[Line], amount: AmountOf, keys: SaleKeys) -> _Lines:
    shown: list[Fields] = []
    sales: list[SaleDocument] = []
    quantity = returned_total = 0
    for line in lines:
        fields = asdict(line)
        unit_price, fields["unit_price"] = amount(line.unit_price, "unitPrice")
        net_amount, fields["net_amount"] = amount(line.net_amount, "netAmount")
        tax_amount, fields["tax_amount"] = amount(line.tax_amount, "taxAmount")
        shown.append(fields)
        sales.append(sale(line, net_amount or 0, tax_amount or 0, keys))
        quantity += line.quantity - line.cancelled_quantity
        if line.returned_quantity:
            returned_total += returned_amount(line, unit_price or 0)
    return _Lines(shown, sales, quantity, returned_total)


def _sortable(total: int | None, currency: str) -> tuple[int | None, int]:
    """Splits a total into whole units and ten-thousandths of one, by which lists of several currencies sort it."""
    return (None, 0) if total is None else divmod(finest_parts(total, currency), FINEST_PARTS)


def _distinct(values: list[str]) -> list[str]:
    """Returns each value once, in order of first appearance, without ""."""
    return [value for value in dict.fromkeys(values) if value] if values else values


def _lookup_keys(*texts: str) -> list[str]:
    return _distinct([lookup_key(text) for text in texts])


def _search_text(order: Order, parties: _Parties, skus: Sequence[str]) -> str:
    codes, texts, phones = [order.order_number], list[str](), list[str]()
    if parties.customer is not None:
        codes.append(parties.customer["customer_id"])
        texts += [parties.customer["display_name"], parties.customer["email"]]
        phones.append(parties.customer["phone"])
    for address in (parties.billing, None if parties.shipping is parties.billing else parties.shipping):
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
    products = [line.product_name for line in order.lines]
    return search_text(texts, codes, phones, common_codes=skus, common_texts=products)
