"""Declares the documents of the read model: what a screen needs, without joins.

Amounts are minor units of the order's `currency_code`, times are microseconds since 1970 (UTC), enum values are the
contract's names without their prefix. Every key except `omitted` is always present; None means that the order does not
have it.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class AddressDocument(TypedDict):
    """A `google.type.PostalAddress`."""

    revision: int
    region_code: str
    language_code: str
    postal_code: str
    sorting_code: str
    administrative_area: str
    locality: str
    sublocality: str
    address_lines: list[str]
    recipients: list[str]
    organization: str


class CustomerDocument(TypedDict):
    """Who ordered; all but the id is empty once redacted."""

    customer_id: str
    display_name: str
    email: str
    phone: str


class LineDocument(TypedDict):
    """One line."""

    line_number: int
    sku: str
    product_name: str
    unit_price: int | None
    quantity: int
    discount_basis_points: int
    tax_rate_basis_points: int
    net_amount: int | None
    tax_amount: int | None
    cancelled_quantity: int
    shipped_quantity: int
    delivered_quantity: int
    returned_quantity: int


class LineQuantityDocument(TypedDict):
    """How many pieces of one line."""

    line_number: int
    quantity: int


class PaymentDocument(TypedDict):
    """Money that arrived."""

    payment_id: str
    amount: int | None
    method: str
    reference: str
    pay_time: int | None


class ShipmentDocument(TypedDict):
    """Goods that left."""

    shipment_id: str
    items: list[LineQuantityDocument]
    carrier: str
    tracking_number: str
    ship_time: int | None
    deliver_time: int | None


class ReturnDocument(TypedDict):
    """Goods that came back."""

    return_id: str
    items: list[LineQuantityDocument]
    return_time: int | None


class RefundDocument(TypedDict):
    """Money that was paid back."""

    refund_id: str
    amount: int | None
    reference: str
    refund_time: int | None


class OmittedDocument(TypedDict):
    """How many of the oldest movements the order no longer lists."""

    payments: int
    shipments: int
    returns: int
    refunds: int


class SaleDocument(TypedDict):
    """The amounts of one line, beside everything it can be grouped by. Cancelled pieces are left out."""

    sku: str
    quantity: int
    net_amount: int
    tax_amount: int
    total: int
    currency_code: str
    state: str
    customer_id: str
    region_code: str
    source: str
    place_day: str
    place_week: str
    place_month: str


class Origin(TypedDict):
    """The event that a document was made from. `recorded_at` in microseconds since 1970."""

    source_epoch: int
    revision: int
    event_id: str
    recorded_at: int
    hash: str


class OrderDocument(Origin):
    """A document of `orders`: one order after its latest applied event. Its id is `order_id`."""

    order_id: str
    order_number: str
    version: int
    state: str
    payment_state: str
    fulfillment_state: str
    on_hold: bool
    source: str
    customer: CustomerDocument | None
    billing_address: AddressDocument | None
    shipping_address: AddressDocument | None
    lines: list[LineDocument]
    currency_code: str
    freight: int | None
    net_total: int | None
    tax_total: int | None
    total: int | None
    paid_total: int | None
    refunded_total: int | None
    refund_due: int | None
    payments: list[PaymentDocument]
    shipments: list[ShipmentDocument]
    returns: list[ReturnDocument]
    refunds: list[RefundDocument]
    place_time: int | None
    update_time: int | None
    redacted: bool
    # There only when something is left out.
    omitted: NotRequired[OmittedDocument]
    # What the contract's order does not have, for looking things up. A key that an order does not have is "".
    customer_id: str
    region_code: str
    skus: list[str]
    payment_references: list[str]
    tracking_numbers: list[str]
    # Keys of the order's number, id, references and tracking numbers: see lookup_key.
    lookup_keys: list[str]
    place_day: str
    place_week: str
    place_month: str
    quantity: int
    # The total in whole units of its currency, and the ten-thousandths of one that remain.
    total_units: int | None
    total_parts: int
    sales: list[SaleDocument]
    search_text: str


class EventDocument(TypedDict):
    """A document of `order-events`: the journal's entry of one version. Its id is `<order_id>/<version>`.

    It holds the payload exactly as the write side recorded it, so that the hash chain can be checked here and any later
    release can show old versions of the order. `personal` and `salt` are None once redacted.
    """

    order_id: str
    version: int
    source_epoch: int
    revision: int
    event_id: str
    aggregate_type: str
    event_type: str
    schema_version: int
    occurred_at: int
    recorded_at: int
    position: int
    actor: str
    request_id: str
    reason: str
    payload: str
    personal: str | None
    salt: str | None
    personal_digest: str
    headers: str
    hash: str
