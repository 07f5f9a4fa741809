"""Which part of an order is personal: it is stored beside an event's payload, never in it.

What stays in the payload of customer and addresses is the customer's id and the country.
"""

from __future__ import annotations

from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2
from tandem.orders.v1.order_events_pb2 import OrderPersonalData


def split(order: order_types_pb2.Order) -> tuple[order_types_pb2.Order, OrderPersonalData]:
    """The order without personal data (a copy), and the personal data."""
    impersonal = order_types_pb2.Order()
    impersonal.CopyFrom(order)
    impersonal.ClearField("customer")
    impersonal.customer.customer_id = order.customer.customer_id
    for field in ("billing_address", "shipping_address"):
        impersonal.ClearField(field)
        getattr(impersonal, field).CopyFrom(PostalAddress(region_code=getattr(order, field).region_code))
    return impersonal, OrderPersonalData(
        customer_display_name=order.customer.display_name,
        customer_email=order.customer.email,
        customer_phone=order.customer.phone,
        billing_address=order.billing_address,
        shipping_address=order.shipping_address,
    )
