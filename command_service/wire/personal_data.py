"""Separates an order's personal data from an event's payload, so that it can be erased later.

The outbox stores it in a column of its own. Of customer and addresses, only the customer's id and the country codes
stay in the payload.
"""

from __future__ import annotations

from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2
from tandem.orders.v1.order_events_pb2 import OrderPersonalData

from command_service.domain.parties import CONTACT_TEXTS


def take_out(order: order_types_pb2.Order) -> OrderPersonalData:
    """Removes the personal data from `order`, which it changes, and returns the personal data."""
    personal = OrderPersonalData(
        **{f"customer_{name}": getattr(order.customer, name) for name in CONTACT_TEXTS},
        billing_address=order.billing_address,
        shipping_address=order.shipping_address,
    )
    order.customer.CopyFrom(order_types_pb2.Customer(customer_id=order.customer.customer_id))
    for address in (order.billing_address, order.shipping_address):
        address.CopyFrom(PostalAddress(region_code=address.region_code))
    return personal
