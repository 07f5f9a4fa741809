"""Separates an order's personal data from an event's payload, so that it can be erased later.

The outbox stores it in a column of its own. Of customer and addresses, only the customer's id and the country codes
stay in the payload. Labels and note are personal as a whole, because callers write into them what they like.
"""

from __future__ import annotations

from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2
from tandem.orders.v1.order_events_pb2 import OrderPersonalData

from command_service.domain.events import OrderLabelled, OrderShippingAddressChanged
from command_service.domain.parties import CONTACT_TEXTS
from command_service.wire.values import address_message

#: Events that replace personal values.
WITH_OLD_VALUES = (OrderShippingAddressChanged, OrderLabelled)


def take_out(order: order_types_pb2.Order) -> OrderPersonalData:
    """Removes the personal data from `order`, which it changes, and returns the personal data."""
    personal = OrderPersonalData(
        **{f"customer_{name}": getattr(order.customer, name) for name in CONTACT_TEXTS},
        billing_address=order.billing_address,
        shipping_address=order.shipping_address,
        labels=order.labels,
        note=order.note,
    )
    order.ClearField("labels")
    order.ClearField("note")
    order.customer.CopyFrom(order_types_pb2.Customer(customer_id=order.customer.customer_id))
    for address in (order.billing_address, order.shipping_address):
        address.CopyFrom(PostalAddress(region_code=address.region_code))
    return personal


def add_old_values(personal: OrderPersonalData, event: OrderShippingAddressChanged | OrderLabelled) -> None:
    """Adds to `personal`, which it changes, the personal values that the event replaced."""
    if isinstance(event, OrderShippingAddressChanged):
        personal.previous_shipping_address.CopyFrom(address_message(event.previous_shipping_address))
        return
    personal.previous_labels.update(event.previous_labels)
    if event.previous_note is not None:
        personal.previous_note = event.previous_note
