"""From words on the command line to a PlaceOrderRequest. Only the form is checked here; the service knows the rules."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_command_service_pb2 import NewOrderLine, PlaceOrderRequest
from tandem.orders.v1.order_types_pb2 import Customer

_NANOS = 1_000_000_000


class WrongLine(ValueError):  # noqa: N818 - reads as what it is
    """A word has the wrong form; the message names it and shows the right one."""


def money(text: str, currency: str, what: str) -> Money:
    """`12.50` as Money, exactly; raises WrongLine naming `what`."""
    try:
        amount = Decimal(text)
        nanos = amount * _NANOS
    except InvalidOperation:
        raise WrongLine(f"{what}: {text!r} is no amount, write it like 12.50") from None
    if not amount.is_finite() or nanos != int(nanos):
        raise WrongLine(f"{what}: {text!r} is no amount with at most nine decimals")
    units, rest = divmod(abs(int(nanos)), _NANOS)
    sign = -1 if amount < 0 else 1
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest)


def new_line(text: str, currency: str) -> NewOrderLine:
    """`SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]` as a line; raises WrongLine."""
    parts = text.split(":")
    if not 3 <= len(parts) <= 6:
        raise WrongLine(f"--line {text!r}: write SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]")
    sku, name, price, quantity, discount, tax = parts + ["1", "0", "0"][len(parts) - 3 :]
    try:
        return NewOrderLine(
            sku=sku,
            product_name=name,
            unit_price=money(price, currency, f"--line {text!r}"),
            quantity=int(quantity),
            discount_basis_points=_basis_points(discount),
            tax_rate_basis_points=_basis_points(tax),
        )
    except (InvalidOperation, ValueError) as error:
        if isinstance(error, WrongLine):
            raise
        raise WrongLine(f"--line {text!r}: {error}") from None


def _basis_points(percent: str) -> int:
    points = Decimal(percent.removesuffix("%")) * 100
    if points != int(points):
        raise WrongLine(f"{percent!r} is finer than a hundredth of a percent")
    return int(points)


def place_order_request(
    *,
    lines: Sequence[str],
    customer_id: str,
    display_name: str,
    currency: str,
    country: str,
    freight: str,
    source: str,
    order_number: str,
    request_id: str,
    reason: str,
) -> PlaceOrderRequest:
    """The request that the options of `tandem orders place` describe; raises WrongLine."""
    return PlaceOrderRequest(
        request_id=request_id,
        reason=reason,
        source=source,
        order_number=order_number,
        customer=Customer(customer_id=customer_id, display_name=display_name),
        shipping_address=PostalAddress(region_code=country),
        lines=[new_line(line, currency) for line in lines],
        freight=money(freight, currency, "--freight") if freight else None,
    )
