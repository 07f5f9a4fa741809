"""Declares the documents of the read model, which have what a screen needs, without joins.

A document of an order has a field for each value that lists and figures filter, sort, group or add up by. What is only
shown is kept once: as the encoded order, which answers are joined of.

Amounts are minor units of the order's `currency_code`. Times are microseconds since 1970 (UTC). Enum values are the
contract's names without their prefix. Every key that is not `NotRequired` is always present. None means that the order
has no such value.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class SaleDocument(TypedDict):
    """The amounts of one line, without cancelled pieces, and every key that it can be grouped by."""

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
    """The event that a document was projected from."""

    source_epoch: int
    revision: int
    event_id: str
    recorded_at: int
    hash: str


class OrderDocument(Origin):
    """A document of the index `orders`: an order after its latest applied event. Its id is `order_id`."""

    # The contract's `Order`, encoded: the whole order, and what ORDER_VIEW_BASIC shows.
    order: bytes
    basic_order: bytes
    order_id: str
    order_number: str
    version: int
    state: str
    payment_state: str
    fulfillment_state: str
    on_hold: bool
    source: str
    currency_code: str
    freight: int | None
    net_total: int | None
    tax_total: int | None
    total: int | None
    paid_total: int | None
    refunded_total: int | None
    refund_due: int | None
    place_time: int | None
    update_time: int | None
    redacted: bool
    # Present only when the order has labels: `key=value` of each, and its key; both sorted.
    label_pairs: NotRequired[list[str]]
    label_keys: NotRequired[list[str]]
    # "" for a key that the order lacks.
    customer_id: str
    region_code: str
    skus: list[str]
    payment_references: list[str]
    tracking_numbers: list[str]
    # The lookup_key of the order's number, its id, and each payment reference, tracking number and value of a label.
    lookup_keys: list[str]
    place_day: str
    place_week: str
    place_month: str
    quantity: int
    # The total as whole currency units plus ten-thousandths of a unit, for sorting.
    total_units: int | None
    total_parts: int
    # Net plus tax of the pieces that came back.
    returned_total: int
    sales: list[SaleDocument]
    search_text: str


class MoneyDocument(TypedDict):
    """Money that arrived or was paid back by one event. `day`, `week` and `month` are those of `time`, in UTC."""

    kind: str
    amount: int
    currency_code: str
    method: str
    source: str
    time: int | None
    day: str
    week: str
    month: str


class EventDocument(TypedDict):
    """A document of the index `order-events`: the journal entry of one version. Its id is `<order_id>/<version>`.

    It has the payload exactly as the write side recorded it. So the hash chain can be checked here, and any later
    release can show old versions of the order. Redaction sets `personal` and `salt` to None.
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
    # What the event moved, and how many movements these are.
    money: list[MoneyDocument]
    money_moves: int
