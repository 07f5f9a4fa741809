"""Converts figures to the contract's `OrderSummary`."""

from __future__ import annotations

from collections.abc import Sequence

from google.type.money_pb2 import Money
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.errors import SumTooLarge
from query_service.application.ports.order_questions import CUSTOMER_MONEY, CustomerMoney, OrderFigures
from query_service.application.ports.payment_questions import PaymentFigures
from query_service.projection.currency import NANOS_PER_UNIT, exponent_of
from query_service.wire.money_and_time import money_message

#: The largest number of units or pieces that the contract's messages can hold.
_LARGEST = 2**63 - 1


def fill_summary(message: contract.OrderSummary, figures: OrderFigures, percentiles: Sequence[float] = ()) -> None:
    """Fills the message of a group's figures. `percentiles` are the requested ones, in the figures' order.

    Raises SumTooLarge. It fills an element of the answer in place, because a message that is given to another one is
    copied, and the library copies by encoding and parsing.
    """
    currency = figures.currency_code
    scale = _checked_scale(figures, ("net_total", "tax_total", "freight", "total"))
    if figures.quantity > _LARGEST:
        raise SumTooLarge("quantity", figures.keys, currency)
    message.keys.extend(figures.keys)
    message.currency_code, message.orders, message.quantity = currency, figures.orders, figures.quantity
    _put(message.net_total, figures.net_total, currency, scale)
    _put(message.tax_total, figures.tax_total, currency, scale)
    _put(message.freight, figures.freight, currency, scale)
    _put(message.total, figures.total, currency, scale)
    _put(message.average_total, figures.average_total, currency, scale)
    for percentile, total in zip(percentiles, figures.percentiles, strict=True):
        _put(message.percentiles.add(percentile=percentile).total, total, currency, scale)


def fill_payments(message: contract.PaymentSummary, figures: PaymentFigures) -> None:
    """Fills the message of a group's money, in place. Raises SumTooLarge."""
    currency = figures.currency_code
    scale = _checked_scale(figures, ("paid", "refunded"))
    message.keys.extend(figures.keys)
    message.currency_code, message.payments, message.refunds = currency, figures.payments, figures.refunds
    _put(message.paid, figures.paid, currency, scale)
    _put(message.refunded, figures.refunded, currency, scale)
    _put(message.balance, figures.paid - figures.refunded, currency, scale)


def customer_money_message(money: CustomerMoney) -> contract.CustomerMoney:
    """Returns the message of a customer's money in one currency. Raises SumTooLarge."""
    currency = money.currency_code
    amounts = {figure: getattr(money, figure) for figure in CUSTOMER_MONEY}
    for figure, amount in amounts.items():
        if abs(amount) // 10 ** exponent_of(currency) > _LARGEST:
            raise SumTooLarge(figure, (), currency)
    messages = {figure: money_message(amount, currency) for figure, amount in amounts.items()}
    return contract.CustomerMoney(currency_code=currency, **messages)


def _checked_scale(figures: OrderFigures | PaymentFigures, names: Sequence[str]) -> int:
    """Returns the minor units in a unit. Raises SumTooLarge for an amount whose units a message cannot hold."""
    scale: int = 10 ** exponent_of(figures.currency_code)
    for name in names:
        if abs(getattr(figures, name)) // scale > _LARGEST:
            raise SumTooLarge(name, figures.keys, figures.currency_code)
    return scale


def _put(money: Money, amount: int, currency: str, scale: int) -> None:
    """Fills an amount in minor units. Units and nanos both have its sign."""
    units, rest = divmod(abs(amount), scale)
    nanos = rest * (NANOS_PER_UNIT // scale)
    money.currency_code = currency
    money.units, money.nanos = (units, nanos) if amount >= 0 else (-units, -nanos)
