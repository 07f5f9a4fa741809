"""Declares queries over many orders: their criteria, and the shapes of their answers.

Amounts are minor units, times microseconds since 1970. Answers are exact, except percentiles (within 1 %). A query sees
what is *searchable*, which may lag behind what is applied: a write becomes searchable with the next refresh.

Figures are grouped and never add two currencies: the currency is part of every group. If products are among the
dimensions, figures are those of the lines: `total` is net plus tax of the lines, freight belongs to no product and is
0, `orders` counts orders with such a line, and percentiles are over lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from query_service.projection.currency import FINEST_PARTS, finest_parts
from query_service.projection.order_document import OrderDocument
from query_service.projection.words.asked import AskedWords

#: Orders in these states were given up.
CANCELLED_STATES = ("CANCELLED", "REFUNDED")
#: Most values of one facet.
FACET_LIMIT = 100


@dataclass(frozen=True, slots=True)
class OrderCriteria:
    """Which orders. Values of one kind are alternatives, different kinds are conditions; empty or None: any.

    `words` are conditions: a word of the order's search text must begin with one of the alternatives of each. An order
    also matches if `lookup_key` is one of its own keys, which makes it an exact match. Bounds named `from` or `min` are
    inclusive, `until` and `max` exclusive.
    """

    words: AskedWords = ()
    lookup_key: str = ""
    order_numbers: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    payment_references: tuple[str, ...] = ()
    tracking_numbers: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    excluded_states: tuple[str, ...] = ()
    payment_states: tuple[str, ...] = ()
    fulfillment_states: tuple[str, ...] = ()
    on_hold: bool | None = None
    customer_ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    region_codes: tuple[str, ...] = ()
    currency_code: str = ""
    min_total: int | None = None
    max_total: int | None = None
    placed_from: int | None = None
    placed_until: int | None = None
    updated_from: int | None = None
    updated_until: int | None = None


class OrderSort(StrEnum):
    """What a list is sorted by. Orders with equal keys are sorted by id.

    Exact matches come before all others, whatever the sort. Totals are compared in units of any currency.
    """

    PLACE_TIME_DESC = "PLACE_TIME_DESC"
    PLACE_TIME_ASC = "PLACE_TIME_ASC"
    TOTAL_DESC = "TOTAL_DESC"
    TOTAL_ASC = "TOTAL_ASC"
    UPDATE_TIME_DESC = "UPDATE_TIME_DESC"
    ORDER_NUMBER_ASC = "ORDER_NUMBER_ASC"


@dataclass(frozen=True, slots=True)
class SortKey:
    """The key of a sort: a field of the document.

    `returns`: whether a change can move an order from the part of the list already read into the part not yet read.
    Place time and order number never change. The update time only rises, which moves an order to the front. So does
    becoming an exact match.
    """

    field: str
    descending: bool
    returns: bool = False

    @property
    def is_total(self) -> bool:
        """Whether positions hold ten-thousandths of a unit."""
        return self.field == "total"


SORT_KEYS: Mapping[OrderSort, SortKey] = {
    OrderSort.PLACE_TIME_DESC: SortKey("place_time", descending=True),
    OrderSort.PLACE_TIME_ASC: SortKey("place_time", descending=False),
    OrderSort.TOTAL_DESC: SortKey("total", descending=True, returns=True),
    OrderSort.TOTAL_ASC: SortKey("total", descending=False, returns=True),
    OrderSort.UPDATE_TIME_DESC: SortKey("update_time", descending=True),
    OrderSort.ORDER_NUMBER_ASC: SortKey("order_number", descending=False),
}
_LAST_ASCENDING, _LAST_DESCENDING = 2**63 - 1, -(2**63)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a sorted list: whether the order is an exact match, the sort key's value, and the order's id."""

    key: int | str
    order_id: str
    exact: bool = False


def position_of(document: OrderDocument, sort: OrderSort, lookup_key: str = "") -> Position:
    """Returns an order's position. An order without a value comes last. `lookup_key`: see OrderCriteria."""
    sort_key = SORT_KEYS[sort]
    value = document[sort_key.field]  # type: ignore[literal-required]
    if value is None:
        value = (_LAST_DESCENDING if sort_key.descending else _LAST_ASCENDING) * (
            FINEST_PARTS if sort_key.is_total else 1
        )
    elif sort_key.is_total:
        value = finest_parts(value, document["currency_code"])
    return Position(value, document["order_id"], lookup_key in document["lookup_keys"])


def is_behind(position: Position, other: Position, sort: OrderSort) -> bool:
    """Whether `position` comes after `other` in the list."""
    if position.exact != other.exact:
        return other.exact
    if position.key == other.key:
        return position.order_id > other.order_id
    return (position.key < other.key) == SORT_KEYS[sort].descending  # type: ignore[operator]


class Dimension(StrEnum):
    """What orders are grouped or counted by. Calendar keys are in UTC: `1996-07-04`, `1996-W27`, `1996-07`."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    STATE = "STATE"
    CUSTOMER = "CUSTOMER"
    PRODUCT = "PRODUCT"
    COUNTRY = "COUNTRY"
    SOURCE = "SOURCE"


#: Dimension → field of an order's document, and (PRODUCT excepted) of its sales.
DIMENSION_FIELDS: Mapping[Dimension, str] = {
    Dimension.DAY: "place_day",
    Dimension.WEEK: "place_week",
    Dimension.MONTH: "place_month",
    Dimension.STATE: "state",
    Dimension.CUSTOMER: "customer_id",
    Dimension.PRODUCT: "skus",
    Dimension.COUNTRY: "region_code",
    Dimension.SOURCE: "source",
}


@dataclass(frozen=True, slots=True)
class OrderSearch:
    """A page of a sorted list: up to `size` orders after the position `after`. `since`: a mark of this store, or ""."""

    criteria: OrderCriteria
    sort: OrderSort = OrderSort.PLACE_TIME_DESC
    size: int = 50
    after: Position | None = None
    facets: tuple[Dimension, ...] = ()
    since: str = ""


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order in a list, and its position.

    `page_part`: the order as encoded within a `SearchOrdersResponse`. The store encodes it with `wire.page_part` when
    the order is written, so that a page encodes nothing. `changed`: it was written after the query's mark.
    """

    order_id: str
    version: int
    page_part: bytes
    position: Position
    changed: bool = False


@dataclass(frozen=True, slots=True)
class FoundOrders:
    """An answer. `total` counts all matches; a facet's most frequent values come first, equal ones by key."""

    orders: list[FoundOrder]
    total: int
    facets: Mapping[Dimension, list[tuple[str, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderSummaries:
    """Asks for figures by group: the `size` groups with the largest totals. Percentiles (0 to 100) are of totals."""

    criteria: OrderCriteria
    dimensions: tuple[Dimension, ...]
    size: int = 100
    percentiles: tuple[float, ...] = ()

    @property
    def by_line(self) -> bool:
        """Whether the figures are those of lines."""
        return Dimension.PRODUCT in self.dimensions


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """The figures of one group.

    A percentile is the total whose rank, smallest first, is nearest to that percentage of their number (within 1 %).
    """

    keys: tuple[str, ...]
    currency_code: str
    orders: int = 0
    quantity: int = 0
    net_total: int = 0
    tax_total: int = 0
    freight: int = 0
    total: int = 0
    percentiles: tuple[int, ...] = ()

    @property
    def average_total(self) -> int:
        """Total per order, rounded half to even."""
        if not self.orders:
            return 0
        quotient, rest = divmod(self.total, self.orders)
        return quotient + (2 * rest > self.orders or (2 * rest == self.orders and quotient % 2))


def nearest_rank(percentile: float, count: int) -> int:
    """Returns the rank, counted from 1, nearest to so many percent of `count`; halves round up."""
    return max(math.floor(percentile / 100 * count + 0.5), 1)


def rank(figures: OrderFigures) -> tuple[int, tuple[str, ...], str]:
    """Sorts groups: largest total first, as a number of whole currency units of any currency; then by key."""
    return -finest_parts(figures.total, figures.currency_code), figures.keys, figures.currency_code


@dataclass(frozen=True, slots=True)
class FoundFigures:
    """An answer: the groups in rank, then one line per currency over all groups, also those left out (`truncated`)."""

    groups: list[OrderFigures]
    totals: list[OrderFigures]
    truncated: bool


@dataclass(frozen=True, slots=True)
class CustomerFigures:
    """A customer's orders. `totals` has one line per currency, without cancelled orders; `recent` latest first."""

    orders: int
    cancelled_orders: int
    totals: list[OrderFigures]
    first_place_time: int | None
    last_place_time: int | None
    recent: list[OrderDocument]


#: Source epoch and version of an order's document: a later one has the greater pair.
Edition = tuple[int, int]
NOT_LISTED: Edition = (0, 0)


class OrderQuestions(Protocol):
    """Queries over many orders. Raises what every method of a store raises."""

    async def search(self, search: OrderSearch) -> FoundOrders:
        """Returns one page of a list, all from one moment."""

    async def summarize(self, summaries: OrderSummaries) -> FoundFigures:
        """Returns figures by group."""

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """Returns a customer's figures, all from one moment, with up to so many latest orders."""

    async def mark(self) -> str:
        """Returns a mark in the sequence of writes: what is written from now on counts as changed since it.

        Everything written before is in every answer after a refresh that begins after this returned.
        """

    def first_mark(self, mark: str) -> str:
        """Returns the mark before every write of the read model to which a mark belongs."""

    async def listed(self, order_ids: Sequence[str]) -> list[Edition]:
        """Returns the versions that searches show of these orders now; NOT_LISTED if they show none."""

    async def parked_orders(self) -> Mapping[str, Sequence[int]]:
        """Returns the orders with a parked version newer than their document, with all their parked versions."""
