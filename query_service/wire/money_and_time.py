"""Converts amounts and times to the contract's messages."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from query_service.projection.currency import units_and_nanos

_MICROSECONDS = 1_000_000


def money_message(amount: int | None, currency: str) -> Money | None:
    """Converts an amount in minor units to Money. Returns None for None."""
    if amount is None:
        return None
    units, nanos = units_and_nanos(amount, currency)
    return Money(currency_code=currency, units=units, nanos=nanos)


def time_message(microseconds: int | None) -> Timestamp | None:
    """Converts microseconds since 1970 to a Timestamp. Returns None for None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, _MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
