"""Converts figures to the contract's `OrderSummary`."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.errors import SumTooLarge
from query_service.application.ports.order_questions import CUSTOMER_MONEY, CustomerMoney, OrderFigures
from query_service.application.ports.payment_questions import PaymentFigures
from query_service.projection.currency import exponent_of
from query_service.wire.money_and_time import money_message

#: The largest number of units or pieces that the contract's messages can hold.
_LARGEST = 2**63 - 1


def summary_message(figures: OrderFigures, percentiles: Sequence[float] = ()) -> contract.OrderSummary:
    """Returns the message of a group's figures. `percentiles` are the requested ones, in the figures' order.

    Raises SumTooLarge.
    """
    currency = figures.currency_code
    scale = 10 ** exponent_of(currency)
    for name in ("net_total", "tax_total", "freight", "total"):
        if abs(getattr(figures, name)) // scale > _LARGEST:
            raise SumTooLarge(name, figures.keys, currency)
    if figures.quantity > _LARGEST:
        raise SumTooLarge("quantity", figures.keys, currency)
    return contract.OrderSummary(
        keys=figures.keys,
        currency_code=currency,
        orders=figures.orders,
        quantity=figures.quantity,
        net_total=money_message(figures.net_total, currency),
        tax_total=money_message(figures.tax_total, currency),
        freight=money_message(figures.freight, currency),
        total=money_message(figures.total, currency),
        average_total=money_message(figures.average_total, currency),
        percentiles=[
            contract.Percentile(percentile=percentile, total=money_message(total, currency))
            for percentile, total in zip(percentiles, figures.percentiles, strict=True)
        ],
    )


def payment_message(figures: PaymentFigures) -> contract.PaymentSummary:
    """Returns the message of a group's money. Raises SumTooLarge."""
    currency = figures.currency_code
    scale = 10 ** exponent_of(currency)
    for name in ("paid", "refunded"):
        if abs(getattr(figures, name)) // scale > _LARGEST:
            raise SumTooLarge(name, figures.keys, currency)
    return contract.PaymentSummary(
        keys=figures.keys,
        currency_code=currency,
        payments=figures.payments,
        paid=money_message(figures.paid, currency),
        refunds=figures.refunds,
        refunded=money_message(figures.refunded, currency),
        balance=money_message(figures.paid - figures.refunded, currency),
    )


def customer_money_message(money: CustomerMoney) -> contract.CustomerMoney:
    """Returns the message of a customer's money in one currency. Raises SumTooLarge."""
    currency = money.currency_code
    amounts = {figure: getattr(money, figure) for figure in CUSTOMER_MONEY}
    for figure, amount in amounts.items():
        if abs(amount) // 10 ** exponent_of(currency) > _LARGEST:
            raise SumTooLarge(figure, (), currency)
    messages = {figure: money_message(amount, currency) for figure, amount in amounts.items()}
    return contract.CustomerMoney(currency_code=currency, **messages)
