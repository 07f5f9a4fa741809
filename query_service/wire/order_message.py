"""An order's document as the contract's `Order`: the exact inverse of what the projection made of it."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.currency import units_and_nanos
from query_service.projection.order_document import (
    AddressDocument,
    CustomerDocument,
    LineDocument,
    LineQuantityDocument,
    OrderDocument,
    PaymentDocument,
    RefundDocument,
    ReturnDocument,
    ShipmentDocument,
)


def order_message(document: OrderDocument) -> types.Order:
    """The message of a document."""
    currency = document["currency_code"]
    return types.Order(
        order_id=document["order_id"],
        order_number=document["order_number"],
        version=document["version"],
        state=types.OrderState.Value(f"ORDER_STATE_{document['state']}"),
        payment_state=types.PaymentState.Value(f"PAYMENT_STATE_{document['payment_state']}"),
        fulfillment_state=types.FulfillmentState.Value(f"FULFILLMENT_STATE_{document['fulfillment_state']}"),
        on_hold=document["on_hold"],
        source=document["source"],
        customer=_customer(document["customer"]),
        billing_address=_address(document["billing_address"]),
        shipping_address=_address(document["shipping_address"]),
        lines=[_line(line, currency) for line in document["lines"]],
        currency_code=currency,
        freight=money_message(document["freight"], currency),
        net_total=money_message(document["net_total"], currency),
        tax_total=money_message(document["tax_total"], currency),
        total=money_message(document["total"], currency),
        paid_total=money_message(document["paid_total"], currency),
        refunded_total=money_message(document["refunded_total"], currency),
        refund_due=money_message(document["refund_due"], currency),
        payments=[_payment(payment, currency) for payment in document["payments"]],
        shipments=[_shipment(shipment) for shipment in document["shipments"]],
        returns=[_return(returned) for returned in document["returns"]],
        refunds=[_refund(refund, currency) for refund in document["refunds"]],
        place_time=time_message(document["place_time"]),
        update_time=time_message(document["update_time"]),
        redacted=document["redacted"],
    )


def money_message(amount: int | None, currency: str) -> Money | None:
    """An amount in minor units as Money."""
    if amount is None:
        return None
    units, nanos = units_and_nanos(amount, currency)
    return Money(currency_code=currency, units=units, nanos=nanos)


def time_message(microseconds: int | None) -> Timestamp | None:
    """Microseconds since 1970 as a Timestamp."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _customer(customer: CustomerDocument | None) -> types.Customer | None:
    return None if customer is None else types.Customer(**customer)


def _address(address: AddressDocument | None) -> PostalAddress | None:
    return None if address is None else PostalAddress(**address)


def _line(line: LineDocument, currency: str) -> types.OrderLine:
    return types.OrderLine(
        line_number=line["line_number"],
        sku=line["sku"],
        product_name=line["product_name"],
        unit_price=money_message(line["unit_price"], currency),
        quantity=line["quantity"],
        discount_basis_points=line["discount_basis_points"],
        tax_rate_basis_points=line["tax_rate_basis_points"],
        net_amount=money_message(line["net_amount"], currency),
        tax_amount=money_message(line["tax_amount"], currency),
        cancelled_quantity=line["cancelled_quantity"],
        shipped_quantity=line["shipped_quantity"],
        delivered_quantity=line["delivered_quantity"],
        returned_quantity=line["returned_quantity"],
    )


def _items(items: list[LineQuantityDocument]) -> list[types.LineQuantity]:
    return [types.LineQuantity(**item) for item in items]


def _payment(payment: PaymentDocument, currency: str) -> types.Payment:
    return types.Payment(
        payment_id=payment["payment_id"],
        amount=money_message(payment["amount"], currency),
        method=payment["method"],
        reference=payment["reference"],
        pay_time=time_message(payment["pay_time"]),
    )


def _shipment(shipment: ShipmentDocument) -> types.Shipment:
    return types.Shipment(
        shipment_id=shipment["shipment_id"],
        items=_items(shipment["items"]),
        carrier=shipment["carrier"],
        tracking_number=shipment["tracking_number"],
        ship_time=time_message(shipment["ship_time"]),
        deliver_time=time_message(shipment["deliver_time"]),
    )


def _return(returned: ReturnDocument) -> types.Return:
    return types.Return(
        return_id=returned["return_id"],
        items=_items(returned["items"]),
        return_time=time_message(returned["return_time"]),
    )


def _refund(refund: RefundDocument, currency: str) -> types.Refund:
    return types.Refund(
        refund_id=refund["refund_id"],
        amount=money_message(refund["amount"], currency),
        reference=refund["reference"],
        refund_time=time_message(refund["refund_time"]),
    )
