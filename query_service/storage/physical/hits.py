"""Declares what is read of an answer to a search for orders.

Three quarters of a page are fields that only Elasticsearch needs. What is not declared here is passed over without
becoming an object. To leave it out would cost Elasticsearch more than it costs to pass over it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from query_service.storage.physical.kept_orders import FIELDS, decoded


class Kept(msgspec.Struct):
    """What is read of a hit's document: the encoded order in both views, with their print, if it has them.

    `hash` is that of the event; it tells whether a journal entry is of the same event.
    """

    order: bytes | None = None
    basic_order: bytes | None = None
    hash: Any = ""


class Hit(msgspec.Struct):
    """An order that was found. `sort` are the values by which it was sorted."""

    index: str = msgspec.field(name="_index")
    order_id: str = msgspec.field(name="_id")
    external_version: int = msgspec.field(name="_version")
    kept: Kept = msgspec.field(name="_source")
    sort: list[Any] = msgspec.field(default_factory=list)
    seq_no: int = msgspec.field(name="_seq_no", default=0)


class Total(msgspec.Struct):
    """How many orders match."""

    value: int


class Hits(msgspec.Struct):
    """The orders that were found."""

    total: Total
    hits: Sequence[Hit]


class FoundPage(msgspec.Struct):
    """The whole answer."""

    hits: Hits
    aggregations: dict[str, Any] = {}


def read_page(body: bytes) -> FoundPage:
    """Reads an answer. Raises msgspec.ValidationError for JSON of another shape.

    A kept order that is no base64, because somebody has altered the document by hand, is read as if it were missing.
    """
    try:
        return _read_page(body)
    except msgspec.ValidationError as wrong:
        answer = msgspec.json.decode(body)
        try:
            _leave_out_what_is_illegible(answer)
        except (AttributeError, LookupError, TypeError):
            raise wrong from None
        return msgspec.convert(answer, FoundPage)


def _leave_out_what_is_illegible(answer: Any) -> None:
    for hit in answer["hits"]["hits"]:
        kept = hit["_source"]
        kept.update({view: decoded(kept.get(view)) for view in FIELDS})


_read_page = msgspec.json.Decoder(FoundPage).decode
