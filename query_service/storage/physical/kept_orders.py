"""Keeps encoded orders as texts in Elasticsearch's documents.

A text is base64 and begins with the print of what encoded it. The document is stored as it is sent, because to leave a
field out Elasticsearch would write each document again. No other field has what is only shown.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from typing import Any, cast

from query_service.projection.order_document import OrderDocument
from query_service.projection.shown_order import PRINT

#: The fields that have encoded orders.
FIELDS = ("order", "basic_order")


def kept(document: OrderDocument) -> dict[str, Any]:
    """Returns the document as it is stored."""
    return {
        **document,
        "order": b2a_base64(PRINT + document["order"], newline=False).decode(),
        "basic_order": b2a_base64(PRINT + document["basic_order"], newline=False).decode(),
    }


def document_of(stored: dict[str, Any]) -> OrderDocument:
    """Returns the document that is stored so. It lacks an encoded order that has another print or is no base64.

    A document that was altered by hand may lack anything.
    """
    for field in FIELDS:
        encoded = encoded_order(decoded(stored.pop(field, "")))
        if encoded is not None:
            stored[field] = encoded
    return cast("OrderDocument", stored)


def decoded(text: Any) -> bytes | None:
    """Returns the bytes of a text that is kept so; None if it is no base64."""
    try:
        return a2b_base64(text)
    except (Error, TypeError, ValueError):
        return None


def encoded_order(kept_bytes: bytes | None) -> bytes | None:
    """Returns the encoded order in bytes that were kept; None if there are none or they have another print."""
    if kept_bytes is None or not kept_bytes.startswith(PRINT):
        return None
    return kept_bytes[len(PRINT) :]
