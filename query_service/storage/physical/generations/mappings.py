"""Declares how Elasticsearch stores the documents. Every field is named, and an unknown field is refused.

Amounts and times are `long`, so that comparing, adding and grouping are exact. Text is searched in one field of words
that are folded already. `whitespace` only splits them, and `index_prefixes` makes a prefix as fast to find as a word.
A field is only prepared for what queries do with it: to look up values, or to sort, group and add up by it. What is
only shown or compared is kept, and Elasticsearch stores each document as it is sent.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from query_service.projection.sales import SaleKeys
from query_service.projection.shown_order import PRINT

Mapping = dict[str, Any]

_KEYWORD: Mapping = {"type": "keyword"}
_LONG: Mapping = {"type": "long"}
_GROUPED: Mapping = {"type": "keyword", "index": False}
_LOOKED_UP: Mapping = {"type": "keyword", "doc_values": False}
_CHOSEN: Mapping = {"type": "boolean", "doc_values": False}
_ADDED: Mapping = {"type": "long", "index": False}
#: A value of any kind that is kept and returned. Elasticsearch passes over it.
_KEPT: Mapping = {"type": "object", "enabled": False}
_KEPT_BYTES: Mapping = {"type": "binary"}
_FOLDED_WORDS: Mapping = {
    "type": "text",
    "analyzer": "whitespace",
    "index_prefixes": {"min_chars": 1, "max_chars": 12},
    "norms": False,
    "index_options": "docs",
}


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
    version=_ADDED,
    state=_KEYWORD,
    payment_state=_LOOKED_UP,
    fulfillment_state=_LOOKED_UP,
    on_hold=_CHOSEN,
    source=_KEYWORD,
    currency_code=_KEYWORD,
    freight=_ADDED,
    net_total=_ADDED,
    tax_total=_ADDED,
    total=_LONG,
    paid_total=_ADDED,
    refunded_total=_ADDED,
    refund_due=_ADDED,
    place_time=_LONG,
    update_time=_LONG,
    redacted=_KEPT,
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
    quantity=_ADDED,
    total_units=_ADDED,
    total_parts=_ADDED,
    returned_total=_ADDED,
    sales=_SALES,
    search_text=_FOLDED_WORDS,
    source_epoch=_KEPT,
    revision=_KEPT,
    event_id=_KEPT,
    recorded_at=_KEPT,
    hash=_KEPT,
    order=_KEPT_BYTES,
    basic_order=_KEPT_BYTES,
)

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
    order_id=_LOOKED_UP,
    version=_LONG,
    source_epoch=_KEPT,
    revision=_KEPT,
    event_id=_KEPT,
    aggregate_type=_KEPT,
    event_type=_LOOKED_UP,
    schema_version=_KEPT,
    occurred_at=_KEPT,
    recorded_at=_KEPT,
    position=_KEPT,
    actor=_KEPT,
    request_id=_KEPT,
    reason=_KEPT,
    payload=_KEPT,
    personal=_KEPT,
    salt=_KEPT,
    personal_digest=_KEPT,
    headers=_KEPT,
    hash=_KEPT,
    money=_MONEY,
    money_moves=_ADDED,
)

PARKED = _strict(order_id=_KEYWORD, versions=_LONG, parked_at=_LONG, events=_KEPT)

STATE = _strict(
    kind=_KEYWORD,
    as_of=_LONG,
    source_epoch=_LONG,
    generation=_KEYWORD,
    stream_created_at=_LONG,
    sequence=_LONG,
    read_model=_KEYWORD,
    created_at=_LONG,
    rebuild=_KEPT,
    drift=_KEPT,
)

REPLICAS = "0-1"
#: Of the orders. Set explicitly on every index that readers see: without it an index that nobody searches does not
#: refresh itself.
REFRESH_INTERVAL = "1s"
#: Of every other index. They are read by id, which needs no refresh, and whoever searches one refreshes it before.
RARE_REFRESH_INTERVAL = "60s"
#: What indices have that an earlier release made: its setting, or none. Any other value was chosen by an operator.
EARLIER_INTERVALS = ("1s", None)
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
    """Returns a print of what this release writes: its mappings, and the print of its encoded orders."""
    written = json.dumps([ORDERS, ENTRIES, PRINT.hex()], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
