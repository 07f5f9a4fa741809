"""Converts the contract's filters, sorts and dimensions to those of the application."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from query_service.application.calendars.time_zone import TimeZone, time_zone
from query_service.application.ports.order_questions import Dimension, OrderCriteria, OrderSort
from query_service.projection.currency import minor_units
from query_service.projection.lookup_key import lookup_key
from query_service.projection.words.asked import asked_words
from query_service.wire.label_selector import label_conditions

Value = TypeVar("Value")
_LARGEST = 2**63 - 1
#: Names of UTC. The database has more, which take the longer way to the same keys.
_UTC = frozenset({"", "UTC", "Etc/UTC"})


def criteria_of(asked: contract.OrderFilter) -> OrderCriteria:
    """Returns the criteria of a filter that has passed the request rules."""
    currency = asked.currency_code or asked.min_total.currency_code or asked.max_total.currency_code
    return OrderCriteria(
        words=asked_words(asked.text),
        lookup_key=lookup_key(asked.text),
        order_numbers=tuple(asked.order_numbers),
        order_ids=tuple(str(uuid.UUID(order_id)) for order_id in asked.order_ids),
        payment_references=tuple(asked.payment_references),
        tracking_numbers=tuple(asked.tracking_numbers),
        states=_names(asked.states, types.OrderState, "ORDER_STATE_"),
        payment_states=_names(asked.payment_states, types.PaymentState, "PAYMENT_STATE_"),
        fulfillment_states=_names(asked.fulfillment_states, types.FulfillmentState, "FULFILLMENT_STATE_"),
        on_hold=_given(asked, "on_hold", bool),
        customer_ids=tuple(asked.customer_ids),
        sources=tuple(asked.sources),
        skus=tuple(asked.skus),
        region_codes=tuple(asked.region_codes),
        currency_code=currency,
        min_total=_given(asked, "min_total", _amount),
        max_total=_given(asked, "max_total", _amount),
        placed_from=_given(asked, "placed_from_time", bound_of),
        placed_until=_given(asked, "placed_until_time", bound_of),
        updated_from=_given(asked, "updated_from_time", bound_of),
        updated_until=_given(asked, "updated_until_time", bound_of),
        labels=label_conditions(asked.label_selector),
    )


def sort_of(sort: contract.OrderSort.ValueType) -> OrderSort:
    """Converts a sort. The unspecified sort means that the order placed last comes first."""
    if sort == contract.ORDER_SORT_UNSPECIFIED:
        return OrderSort.PLACE_TIME_DESC
    return OrderSort(contract.OrderSort.Name(sort).removeprefix("ORDER_SORT_"))


def dimensions_of(dimensions: Iterable[contract.OrderDimension.ValueType]) -> tuple[Dimension, ...]:
    """Converts dimensions, in the given order."""
    names = map(contract.OrderDimension.Name, dimensions)
    return tuple(Dimension(name.removeprefix("ORDER_DIMENSION_")) for name in names)


def zone_of(name: str) -> TimeZone | None:
    """Returns the time zone with a known name; None for UTC, whose calendar keys every document has."""
    return None if name in _UTC else time_zone(name)


def dimension_value(dimension: Dimension) -> contract.OrderDimension.ValueType:
    """Returns the contract's value of a dimension."""
    return contract.OrderDimension.Value(f"ORDER_DIMENSION_{dimension}")


def _given(asked: contract.OrderFilter, field: str, read: Callable[[Any], Value]) -> Value | None:
    """Reads an optional field; None when it is absent."""
    return read(getattr(asked, field)) if asked.HasField(field) else None  # type: ignore[arg-type]


def _names(values: Iterable[int], enum: Any, prefix: str) -> tuple[str, ...]:
    return tuple(enum.Name(value).removeprefix(prefix) for value in values)


def _amount(money: Money) -> int:
    # No total exceeds 64 bits, so clamping a bound to them changes no answer.
    return max(-_LARGEST, min(_LARGEST, minor_units(money.units, money.nanos, money.currency_code)))


def bound_of(timestamp: Timestamp) -> int:
    """Returns microseconds since 1970, rounded up.

    Stored times are whole microseconds. So both inclusive and exclusive bounds stay exact when they are rounded up.
    """
    return timestamp.seconds * 1_000_000 - (-timestamp.nanos // 1000)
