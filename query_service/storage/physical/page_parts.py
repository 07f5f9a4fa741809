"""Stores each order also as the encoded part of a page, because pages are read more often than orders change.

Elasticsearch stores the part as opaque bytes outside `_source`, so reading a document does not return it. A part begins
with its edition. When the part is missing or of another edition, the document must be read and encoded.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any

from query_service.projection.order_document import OrderDocument
from query_service.wire import page_part as parts

#: The field of the whole order, and that of ORDER_VIEW_BASIC.
FIELD, BASIC_FIELD = "page_part", "basic_part"
_EDITION_BYTES = 2


def with_part(document: OrderDocument) -> dict[str, Any]:
    """Returns the document with its parts. Raises TypeError or ValueError for a value that the contract cannot hold."""
    return {
        **document,
        FIELD: b64encode(_edition() + parts.page_part(document)).decode(),
        BASIC_FIELD: b64encode(_edition() + parts.basic_part(document)).decode(),
    }


def part_of(hit: Mapping[str, Any], field: str) -> bytes | None:
    """Returns the part of a search hit in one of the two fields; None when it has none of this edition."""
    kept: Sequence[str] = hit.get("fields", {}).get(field, ())
    if not kept:
        return None
    part = a2b_base64(kept[0])
    return part[_EDITION_BYTES:] if part.startswith(_edition()) else None


def _edition() -> bytes:
    return parts.EDITION.to_bytes(_EDITION_BYTES)
