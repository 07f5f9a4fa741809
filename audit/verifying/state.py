"""Compares an order of the state tables with what the journal's event says that it was after the event."""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseDict, ParseError
from tandem.orders.v1.order_events_pb2 import OrderPersonalData
from tandem.orders.v1.order_types_pb2 import Order

from audit.leaves.hash_chain import RecordedEvent

#: Movements of which an event lists the newest ones, if there are many.
_MOVEMENTS = ("payments", "shipments", "returns", "refunds")


def state_faults(state: Order, event: RecordedEvent) -> list[str]:
    """Returns the names of the fields in which the order differs from the order after `event`."""
    try:
        after = order_after(event)
    except (ValueError, TypeError, KeyError, AttributeError, ParseError):
        return ["the event's text has no order"]
    listed = Order()
    listed.CopyFrom(state)
    for name in _MOVEMENTS:
        movements = getattr(listed, name)
        del movements[: min(len(movements), getattr(after.omitted, name))]
    listed.omitted.CopyFrom(after.omitted)
    return [
        field.name for field in Order.DESCRIPTOR.fields if getattr(listed, field.name) != getattr(after, field.name)
    ]


def order_after(event: RecordedEvent) -> Order:
    """Returns the order after the event, with its personal data if that is not redacted.

    Raises ParseError or ValueError for a text that is no event.
    """
    order: Order = ParseDict(json.loads(event.payload)["order"], Order(), ignore_unknown_fields=True)
    if event.personal is None:
        return order
    personal = ParseDict(json.loads(event.personal), OrderPersonalData(), ignore_unknown_fields=True)
    order.customer.display_name = personal.customer_display_name
    order.customer.email = personal.customer_email
    order.customer.phone = personal.customer_phone
    for name in ("billing_address", "shipping_address"):
        if personal.HasField(name):
            getattr(order, name).CopyFrom(getattr(personal, name))
    order.labels.update(personal.labels)
    order.note = personal.note
    return order
