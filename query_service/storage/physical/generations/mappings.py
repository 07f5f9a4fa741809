"""Declares how Elasticsearch stores the documents. Every field is named, and an unknown field is refused.

Amounts and times are `long`, so that comparing, adding and grouping are exact. Text is searched in one field of words
that are folded already. `whitespace` only splits them, and `index_prefixes` makes a prefix as fast to find as a word.
Fields that no query filters, sorts or groups by are stored and not indexed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_type_hints

from query_service.projection.order_document import (
    AddressDocument,
    CustomerDocument,
    LabelDocument,
    LineDocument,
    LineQuantityDocument,
    OmittedDocument,
    PaymentDocument,
    RefundDocument,
    ReturnDocument,
    ShipmentDocument,
)
from query_service.projection.sales import SaleKeys
from query_service.storage.physical.page_parts import BASIC_FIELD as BASIC_PART
from query_service.storage.physical.page_parts import FIELD as PAGE_PART
from query_service.wire.page_part import EDITION

Mapping = dict[str, Any]

_KEYWORD: Mapping = {"type": "keyword"}
_LONG: Mapping = {"type": "long"}
_FLAG: Mapping = {"type": "boolean"}
_KEPT: Mapping = {"type": "keyword", "index": False, "doc_values": False}
_KEPT_NUMBER: Mapping = {"type": "long", "index": False, "doc_values": False}
_GROUPED: Mapping = {"type": "keyword", "index": False}
_LOOKED_UP: Mapping = {"type": "keyword", "doc_values": False}
_ADDED: Mapping = {"type": "long", "index": False}
_OPAQUE: Mapping = {"type": "object", "enabled": False}
_FOLDED_WORDS: Mapping = {
    "type": "text",
    "analyzer": "whitespace",
    "index_prefixes": {"min_chars": 1, "max_chars": 12},
    "norms": False,
    "index_options": "docs",
}


def _kept(part: type, **parts: Mapping) -> Mapping:
    """Returns the mapping of a part that is stored and not indexed. `parts` are the mappings of its nested parts."""
    fields = {name: _KEPT_NUMBER if kind in (int, int | None) else _KEPT for name, kind in get_type_hints(part).items()}
    return {"properties": fields | parts}


#: Bytes that are stored and returned unchanged.
_BYTES: Mapping = {"type": "binary", "store": True}


def _strict(**properties: Mapping) -> Mapping:
    return {"dynamic": "strict", "properties": properties}


#: Nested, so that figures by product are those of the lines. Sales are grouped and added up; only `sku` is filtered by.
_SALES: Mapping = {
    "type": "nested",
    "properties": {
        "sku": _KEYWORD,
        **dict.fromkeys(("quantity", "net_amount", "tax_amount", "total"), _ADDED),
        **dict.fromkeys(SaleKeys.__annotations__, _GROUPED),
    },
}

ORDERS = _strict(
    order_id=_KEYWORD,
    order_number=_KEYWORD,
    version=_LONG,
    state=_KEYWORD,
    payment_state=_KEYWORD,
    fulfillment_state=_KEYWORD,
    on_hold=_FLAG,
    source=_KEYWORD,
    customer=_kept(CustomerDocument),
    billing_address=_kept(AddressDocument),
    shipping_address=_kept(AddressDocument),
    lines=_kept(LineDocument),
    currency_code=_KEYWORD,
    freight=_LONG,
    net_total=_LONG,
    tax_total=_LONG,
    total=_LONG,
    paid_total=_LONG,
    refunded_total=_LONG,
    refund_due=_LONG,
    payments=_kept(PaymentDocument),
    shipments=_kept(ShipmentDocument, items=_kept(LineQuantityDocument)),
    returns=_kept(ReturnDocument, items=_kept(LineQuantityDocument)),
    refunds=_kept(RefundDocument),
    place_time=_LONG,
    update_time=_LONG,
    redacted=_FLAG,
    omitted=_kept(OmittedDocument),
    labels=_kept(LabelDocument),
    note=_KEPT,
    label_pairs=_KEYWORD,
    label_keys=_LOOKED_UP,
    customer_id=_KEYWORD,
    region_code=_KEYWORD,
    skus=_KEYWORD,
    payment_references=_LOOKED_UP,
    tracking_numbers=_LOOKED_UP,
    lookup_keys=_LOOKED_UP,
    place_day=_KEYWORD,
    place_week=_KEYWORD,
    place_month=_KEYWORD,
    quantity=_LONG,
    total_units=_ADDED,
    total_parts=_ADDED,
    returned_total=_ADDED,
    sales=_SALES,
    search_text=_FOLDED_WORDS,
    source_epoch=_LONG,
    revision=_KEPT_NUMBER,
    event_id=_KEPT,
    recorded_at=_LONG,
    hash=_KEPT,
    page_part=_BYTES,
    basic_part=_BYTES,
)
ORDERS["_source"] = {"excludes": [PAGE_PART, BASIC_PART]}

#: Nested, so that each movement of an imported order keeps its own method, amount and time.
_MONEY: Mapping = {
    "type": "nested",
    "properties": {
        **dict.fromkeys(("kind", "currency_code", "method", "source"), _KEYWORD),
        **dict.fromkeys(("day", "week", "month"), _GROUPED),
        "time": _LONG,
        "amount": _ADDED,
    },
}
ENTRIES = _strict(
    order_id=_KEYWORD,
    version=_LONG,
    source_epoch=_LONG,
    revision=_KEPT_NUMBER,
    event_id=_KEYWORD,
    aggregate_type=_KEPT,
    event_type=_KEYWORD,
    schema_version=_KEPT_NUMBER,
    occurred_at=_LONG,
    recorded_at=_LONG,
    position=_LONG,
    actor=_KEYWORD,
    request_id=_KEYWORD,
    reason=_KEPT,
    payload=_KEPT,
    personal=_KEPT,
    salt=_KEPT,
    personal_digest=_KEPT,
    headers=_KEPT,
    hash=_KEPT,
    money=_MONEY,
    money_moves=_LONG,
)

PARKED = _strict(order_id=_KEYWORD, versions=_LONG, parked_at=_LONG, events=_OPAQUE)

STATE = _strict(
    kind=_KEYWORD,
    as_of=_LONG,
    source_epoch=_LONG,
    generation=_KEYWORD,
    stream_created_at=_LONG,
    sequence=_LONG,
    read_model=_KEYWORD,
    created_at=_LONG,
    rebuild=_OPAQUE,
    drift=_OPAQUE,
)

REPLICAS = "0-1"
#: Of the orders. Set explicitly on every index that readers see: without it an index that nobody searches does not
#: refresh itself.
REFRESH_INTERVAL = "1s"
#: Of every other index. They are read by id, which needs no refresh, and whoever searches one refreshes it before.
RARE_REFRESH_INTERVAL = "60s"
#: For a generation that readers have not seen yet. Projectors, a verification and a switch refresh it.
NO_REFRESH = "-1"


def settings(refresh_interval: str) -> Mapping:
    """Returns the settings of a new index that readers see."""
    return {"index": {"number_of_shards": 1, "auto_expand_replicas": REPLICAS, "refresh_interval": refresh_interval}}


#: For a generation that is being filled.
FILLING_SETTINGS: Mapping = {
    "index": {
        "number_of_shards": 1,
        "auto_expand_replicas": "false",
        "number_of_replicas": 0,
        "refresh_interval": NO_REFRESH,
    }
}


def projection() -> str:
    """Returns a print of what this release writes: its mappings, and the edition of its page parts."""
    written = json.dumps([ORDERS, ENTRIES, EDITION], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
