"""Encodes an order as a part of a page.

Protobuf allows encoded parts of a message to be concatenated. So a store may encode each order's part when the order is
written, and a page is assembled from stored bytes.
"""

from __future__ import annotations

from typing import Any

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.projection.order_document import OrderDocument
from query_service.wire.order_message import basic_fields, order_fields

#: Raise this number whenever the same document is encoded differently. Parts of another edition are encoded again.
EDITION = 2


def page_part(document: OrderDocument) -> bytes:
    """Returns an encoded `SearchOrdersResponse` that has only this order. Raises ValueError; see `order_message`."""
    fields: Any = order_fields(document)
    return contract.SearchOrdersResponse(orders=[fields]).SerializeToString(deterministic=True)


def basic_part(document: OrderDocument) -> bytes:
    """Returns the same with only the fields of ORDER_VIEW_BASIC."""
    fields: Any = basic_fields(document)
    return contract.SearchOrdersResponse(orders=[fields]).SerializeToString(deterministic=True)
