"""Computes the amounts of an order's lines.

Each line also has its order's keys for grouping, so that stores can add up the amounts without joins.
"""

from __future__ import annotations

import functools
from typing import TypedDict

from query_service.projection.order_document import SaleDocument
from query_service.projection.proto_json import moment
from query_service.projection.recorded_order import Line

#: A day in microseconds.
_DAY = 86_400_000_000


class CalendarKeys(TypedDict):
    """Day, ISO week and month of a time, in UTC; "" for no time."""

    place_day: str
    place_week: str
    place_month: str


class SaleKeys(CalendarKeys):
    """What orders and their lines are grouped by; "" if an order has no such key."""

    currency_code: str
    state: str
    customer_id: str
    region_code: str
    source: str


def calendar(place_time: int | None) -> CalendarKeys:
    """Returns the calendar keys of a time in microseconds since 1970."""
    if place_time is None:
        return CalendarKeys(place_day="", place_week="", place_month="")
    return calendar_of_day(place_time // _DAY)


@functools.lru_cache(maxsize=1_000)
def calendar_of_day(days_since_epoch: int) -> CalendarKeys:
    """Returns the calendar keys of a day, given as days since 1970-01-01."""
    day = moment(days_since_epoch * _DAY).date()
    year, week, _ = day.isocalendar()
    text = day.isoformat()
    return CalendarKeys(place_day=text, place_week=f"{year:04}-W{week:02}", place_month=text[:7])


def sale(line: Line, net_amount: int, tax_amount: int, keys: SaleKeys) -> SaleDocument:
    """Returns the amounts of a line. Freight belongs to the order as a whole and to no line."""
    return {
        "sku": line.sku,
        "quantity": line.quantity - line.cancelled_quantity,
        "net_amount": net_amount,
        "tax_amount": tax_amount,
        "total": net_amount + tax_amount,
        **keys,
    }
