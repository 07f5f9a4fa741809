"""Describes which orders or events an export contains."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

#: An id before every order's. It is no order's id.
START = UUID(int=0)


class View(Enum):
    """What an export contains of each order."""

    ORDER = "the order as the tables have it"
    JOURNAL = "all events of the order"
    HEADS = "id, version and hash"


@dataclass(frozen=True, slots=True)
class OrderSelection:
    """The orders after one id, up to and including another, for which every given condition holds.

    `recorded_from` (inclusive) and `recorded_until` (exclusive) are about the order's latest event, by the database's
    clock. A condition that is empty or None holds for every order.
    """

    after: UUID = START
    until: UUID | None = None
    partitions: tuple[int, ...] = ()
    customer_id: str = ""
    order_ids: tuple[UUID, ...] = ()
    recorded_from: datetime | None = None
    recorded_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventSelection:
    """The events after a position for which every given condition holds.

    `recorded_until` is exclusive, by the database's clock. A condition that is empty or None holds for every event.
    """

    after: int = 0
    order_ids: tuple[UUID, ...] = ()
    event_types: tuple[str, ...] = ()
    recorded_until: datetime | None = None
