"""What every read store must answer about local days: orders around midnight, on days when clocks change."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime

from query_service.application.calendars.time_zone import time_zone
from query_service.application.ports.order_questions import Dimension, OrderCriteria, OrderSummaries
from query_service.application.ports.read_store import ReadStore
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from tests.support.queries.listed_orders import applied
from tests.support.queries.order_events import an_order, published, timestamp
from tests.support.queries.time_zones import zone_of_database

#: Zone and local date of a day with more or fewer than 24 hours, or at the edge of a week and a month.
DAYS = (
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("Europe/Berlin", (1916, 4, 30)),
    ("America/New_York", (2026, 11, 1)),
    ("Asia/Kathmandu", (1986, 1, 1)),
    ("Pacific/Apia", (2011, 12, 31)),
    ("America/St_Johns", (2000, 10, 29)),  # set back at 00:01, so the day before comes back
    ("Europe/Amsterdam", (1890, 1, 1)),
)


def placed_at(moment: datetime) -> ProjectedEvent:
    order = an_order(str(uuid.uuid4()), 1)
    order.place_time.CopyFrom(timestamp(moment))
    message = published(order)
    return project(read_event(message.headers, message.body))


def key(moment: datetime, dimension: Dimension) -> str:
    """The key of a local time, computed by the standard library alone."""
    if dimension is Dimension.WEEK:
        year, week, _ = moment.isocalendar()
        return f"{year:04}-W{week:02}"
    return moment.date().isoformat() if dimension is Dimension.DAY else moment.date().isoformat()[:7]


async def check_local_days(store: ReadStore) -> None:
    """Orders of the last second before and the first second of each day are counted on the right one."""
    for name, day in DAYS:
        zone = zone_of_database(name)
        midnight = datetime(*day, tzinfo=zone).astimezone(UTC).timestamp()
        moments = [datetime.fromtimestamp(midnight + by, UTC) for by in (-90_000, -1, 0, 1, 43_200, 82_800, 90_000)]
        events = [placed_at(moment) for moment in moments]
        await applied(store, events)
        ours = OrderCriteria(order_ids=tuple(event.order_id for event in events))
        for dimension in (Dimension.DAY, Dimension.WEEK, Dimension.MONTH):
            expected = Counter(key(moment.astimezone(zone), dimension) for moment in moments)
            for dimensions in ((dimension,), (dimension, Dimension.PRODUCT)):
                asked = OrderSummaries(ours, dimensions, 100, (50.0,), time_zone(name))
                found = await store.summarize(asked)
                counted = {group.keys[0]: group.orders for group in found.groups}
                assert counted == expected, (name, day, dimensions)
                assert all(group.percentiles[0] > 0 for group in found.groups)


async def check_order_without_time(store: ReadStore) -> None:
    """An order without a place time has no local day."""
    order = an_order(str(uuid.uuid4()), 1)
    order.ClearField("place_time")
    message = published(order)
    await applied(store, [project(read_event(message.headers, message.body))])
    for dimensions in ((Dimension.DAY,), (Dimension.DAY, Dimension.PRODUCT)):
        asked = OrderSummaries(OrderCriteria(order_ids=(order.order_id,)), dimensions, 100, (), time_zone("Asia/Tokyo"))
        assert {group.keys[0] for group in (await store.summarize(asked)).groups} == {""}
