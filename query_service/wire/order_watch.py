"""Encodes the responses of `WatchOrders`.

Protobuf allows encoded parts of a message to be concatenated. So the event is encoded once, and each response adds its
token.
"""

from __future__ import annotations

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.watching.change import Change
from query_service.wire.money_and_time import time_message
from query_service.wire.order_history import event_without_order


def watch_response(change: Change | None, resume_token: str, as_of: int | None) -> bytes:
    """Returns an encoded response; without `change` it is a sign of life. Raises ValueError for an illegible change."""
    rest = contract.WatchOrdersResponse(resume_token=resume_token, as_of=time_message(as_of)).SerializeToString()
    if change is None:
        return rest
    if change.encoded is None:
        projected = change.projected()
        event = event_without_order(projected.event)
        event.order.ParseFromString(projected.order["order"])
        change.encoded = contract.WatchOrdersResponse(event=event).SerializeToString()
    return change.encoded + rest
