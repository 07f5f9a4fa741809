"""Encodes an order as it appears in a page of orders: a part of the answer.

The concatenated parts of a message are the message. So a store may encode each order's part when the order is written,
and a page is assembled without describing or encoding anything.
"""

from __future__ import annotations

from typing import Any

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.projection.order_document import OrderDocument
from query_service.wire.order_message import order_fields

#: Counts up whenever the same document makes another part: parts of another edition are not sent but made anew.
EDITION = 1


def page_part(document: OrderDocument) -> bytes:
    """Returns the part of a `SearchOrdersResponse` that holds this order."""
    fields: Any = order_fields(document)
    return contract.SearchOrdersResponse(orders=[fields]).SerializeToString()
