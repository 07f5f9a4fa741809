"""Converts the contract's question about money to that of the application."""

from __future__ import annotations

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.payment_questions import PaymentCriteria, PaymentDimension, PaymentSummaries
from query_service.wire.order_criteria import bound_of, zone_of


def payments_of(asked: contract.SummarizePaymentsRequest, size: int) -> PaymentSummaries:
    """Returns the question of a request that has passed the request rules."""
    names = map(contract.PaymentDimension.Name, asked.group_by)
    return PaymentSummaries(
        PaymentCriteria(
            moved_from=bound_of(asked.from_time) if asked.HasField("from_time") else None,
            moved_until=bound_of(asked.until_time) if asked.HasField("until_time") else None,
            methods=tuple(asked.methods),
            sources=tuple(asked.sources),
            currency_code=asked.currency_code,
        ),
        tuple(PaymentDimension(name.removeprefix("PAYMENT_DIMENSION_")) for name in names),
        size,
        zone_of(asked.time_zone),
    )
