"""Figures as the contract's `OrderSummary`."""

from __future__ import annotations

from collections.abc import Sequence

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.order_questions import OrderFigures
from query_service.wire.order_message import money_message


def summary_message(figures: OrderFigures, percentiles: Sequence[float] = ()) -> contract.OrderSummary:
    """The message of a group's figures; `percentiles` are those that were asked for."""
    currency = figures.currency_code
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
