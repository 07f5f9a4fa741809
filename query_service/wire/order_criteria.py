"""Converts the contract's filters, sorts and dimensions to those of the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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

_LARGEST = 2**63 - 1
#: Names of UTC. The database has more, which take the longer way to the same keys.
_UTC = frozenset({"", "UTC", "Etc/UTC"})


def criteria_of(asked: contract.OrderFilter) -> OrderCriteria:
    """Returns the criteria of a filter that has passed the request rules.

    Only fields that are set are read, because most are not.
    """
    given: dict[str, Any] = {}
    for field, value in asked.ListFields():
        criterion, read = _CRITERIA[field.name]
        given[criterion] = read(value)
    if "words" in given:
        given["lookup_key"] = lookup_key(asked.text)
    if not asked.currency_code and ("min_total" in given or "max_total" in given):
        given["currency_code"] = asked.min_total.currency_code or asked.max_total.currency_code
    return OrderCriteria(**given)


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


def _names_of(enum: Any, prefix: str) -> Callable[[Iterable[int]], tuple[str, ...]]:
    return lambda values: tuple(enum.Name(value).removeprefix(prefix) for value in values)


def _amount(money: Money) -> int:
    # No total exceeds 64 bits, so clamping a bound to them changes no answer.
    return max(-_LARGEST, min(_LARGEST, minor_units(money.units, money.nanos, money.currency_code)))


def bound_of(timestamp: Timestamp) -> int:
    """Returns microseconds since 1970, rounded up.

    Stored times are whole microseconds. So both inclusive and exclusive bounds stay exact when they are rounded up.
    """
    return timestamp.seconds * 1_000_000 - (-timestamp.nanos // 1000)


#: Field of a filter → the criterion that it sets, and how its value is read.
_CRITERIA: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "text": ("words", asked_words),
    "order_numbers": ("order_numbers", tuple),
    "order_ids": ("order_ids", lambda ids: tuple(order_id.lower() for order_id in ids)),
    "payment_references": ("payment_references", tuple),
    "tracking_numbers": ("tracking_numbers", tuple),
    "states": ("states", _names_of(types.OrderState, "ORDER_STATE_")),
    "payment_states": ("payment_states", _names_of(types.PaymentState, "PAYMENT_STATE_")),
    "fulfillment_states": ("fulfillment_states", _names_of(types.FulfillmentState, "FULFILLMENT_STATE_")),
    "on_hold": ("on_hold", bool),
    "customer_ids": ("customer_ids", tuple),
    "sources": ("sources", tuple),
    "skus": ("skus", tuple),
    "region_codes": ("region_codes", tuple),
    "currency_code": ("currency_code", str),
    "min_total": ("min_total", _amount),
    "max_total": ("max_total", _amount),
    "placed_from_time": ("placed_from", bound_of),
    "placed_until_time": ("placed_until", bound_of),
    "updated_from_time": ("updated_from", bound_of),
    "updated_until_time": ("updated_until", bound_of),
    "label_selector": ("labels", label_conditions),
}
