"""The part of the store's port that answers questions over many orders.

`OrderCriteria` says which orders. Amounts are minor units, times are microseconds since 1970. Answers are exact, except
that percentiles are within 1 %. A question sees what is *searchable*: a write that is applied becomes searchable with
the next refresh.

Figures come by group. The currency is part of every group, so two currencies are never added. When products are among
the dimensions, the figures are those of lines: `total` is net plus tax of the lines, `freight` is 0 because it belongs
to no product, `orders` counts the orders with such a line, and percentiles are over lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from query_service.application.calendars.time_zone import TimeZone
from query_service.application.ports.label_conditions import LabelCondition
from query_service.projection.currency import FINEST_PARTS, finest_parts
from query_service.projection.order_document import OrderDocument
from query_service.projection.words.asked import AskedWords

#: Orders in these states count as cancelled.
CANCELLED_STATES = ("CANCELLED", "REFUNDED")
#: The most values that a facet returns.
FACET_LIMIT = 100


@dataclass(frozen=True, slots=True)
class OrderCriteria:
    """Which orders a question is about. Empty or None: no condition.

    An order must meet every condition. If a condition has several values, the order must have one of them. Each item of
    `words` is a tuple of alternatives, of which one must begin a word of the order's search text. An order that has
    `lookup_key` among its own keys is an exact match and need not meet `words`. Bounds named `from` or `min` are
    inclusive, bounds named `until` or `max` are exclusive.
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
    labels: tuple[LabelCondition, ...] = ()


class OrderSort(StrEnum):
    """What a list is sorted by. Orders with equal keys are sorted by id.

    Exact matches come first in every sort. Totals are compared as numbers of currency units, whatever the currency.
    """

    PLACE_TIME_DESC = "PLACE_TIME_DESC"
    PLACE_TIME_ASC = "PLACE_TIME_ASC"
    TOTAL_DESC = "TOTAL_DESC"
    TOTAL_ASC = "TOTAL_ASC"
    UPDATE_TIME_DESC = "UPDATE_TIME_DESC"
    UPDATE_TIME_ASC = "UPDATE_TIME_ASC"
    ORDER_NUMBER_ASC = "ORDER_NUMBER_ASC"
    ORDER_NUMBER_DESC = "ORDER_NUMBER_DESC"


@dataclass(frozen=True, slots=True)
class SortKey:
    """The document's field that a sort uses.

    `returns`: a change of the order can move it from the pages that were read to those that were not. Totals rise and
    fall. The update time only rises, which moves an order towards the end of an ascending list, but towards the first
    page of a descending one; becoming an exact match does so too. Place time and order number never change.
    """

    field: str
    descending: bool
    returns: bool = False

    @property
    def is_total(self) -> bool:
        """Whether the key is an amount. Positions then hold ten-thousandths of a currency unit."""
        return self.field == "total"

    @property
    def is_text(self) -> bool:
        """Whether the key is text. The other keys are numbers."""
        return self.field == "order_number"


SORT_KEYS: Mapping[OrderSort, SortKey] = {
    OrderSort.PLACE_TIME_DESC: SortKey("place_time", descending=True),
    OrderSort.PLACE_TIME_ASC: SortKey("place_time", descending=False),
    OrderSort.TOTAL_DESC: SortKey("total", descending=True, returns=True),
    OrderSort.TOTAL_ASC: SortKey("total", descending=False, returns=True),
    OrderSort.UPDATE_TIME_DESC: SortKey("update_time", descending=True),
    OrderSort.UPDATE_TIME_ASC: SortKey("update_time", descending=False, returns=True),
    OrderSort.ORDER_NUMBER_ASC: SortKey("order_number", descending=False),
    OrderSort.ORDER_NUMBER_DESC: SortKey("order_number", descending=True),
}
_LAST_ASCENDING, _LAST_DESCENDING = 2**63 - 1, -(2**63)


class Position(NamedTuple):
    """A position in a sorted list: whether the order is an exact match, the sort key's value, and the order's id."""

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


def comes_after(position: Position, other: Position, sort: OrderSort) -> bool:
    """Returns whether `position` is after `other` in the list."""
    if position.exact != other.exact:
        return other.exact
    if position.key == other.key:
        return position.order_id > other.order_id
    return (position.key < other.key) == SORT_KEYS[sort].descending  # type: ignore[operator]


class Dimension(StrEnum):
    """What orders are grouped or counted by. Calendar keys are `1996-07-04`, `1996-W27`, `1996-07`."""

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


#: The dimensions whose keys depend on a time zone.
CALENDAR = frozenset({Dimension.DAY, Dimension.WEEK, Dimension.MONTH})


@dataclass(frozen=True, slots=True)
class OrderSearch:
    """Asks for a page of a sorted list: up to `size` orders after the position `after`.

    `since` is a mark of this store, or "": orders written after it are flagged as changed. `facet_label` is the key of
    a label by whose values all matches are counted, or "". `basic`: the orders are shown as ORDER_VIEW_BASIC.
    """

    criteria: OrderCriteria
    sort: OrderSort = OrderSort.PLACE_TIME_DESC
    size: int = 50
    after: Position | None = None
    facets: tuple[Dimension, ...] = ()
    since: str = ""
    facet_label: str = ""
    basic: bool = False


class FoundOrder(NamedTuple):
    """An order in a list, and its position.

    `encoded` is the contract's `Order` in the view that the search asked for, as the projection encoded it. `changed`:
    the order was written after the mark `since`.
    """

    order_id: str
    version: int
    encoded: bytes
    position: Position
    changed: bool = False


@dataclass(frozen=True, slots=True)
class FoundOrders:
    """A page of orders. `total` counts all matches. A facet's values come most frequent first, ties by key.

    `label_values` are the values of the label that was asked for, counted and sorted like those of a facet.
    """

    orders: list[FoundOrder]
    total: int
    facets: Mapping[Dimension, list[tuple[str, int]]] = field(default_factory=dict)
    #: The generation that answered; "" when the answer has no order that tells it.
    generation: str = field(default="", compare=False)
    label_values: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OrderSummaries:
    """Asks for figures by group: the `size` groups with the largest totals. `percentiles` (0 to 100) are of totals.

    Days, weeks and months are those of `zone`; None: of UTC.
    """

    criteria: OrderCriteria
    dimensions: tuple[Dimension, ...]
    size: int = 100
    percentiles: tuple[float, ...] = ()
    zone: TimeZone | None = None

    @property
    def by_line(self) -> bool:
        """Whether the figures are those of lines, not of orders."""
        return Dimension.PRODUCT in self.dimensions


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """The figures of one group. `percentiles` are totals, found by nearest rank, within 1 %."""

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
        """The total per order, rounded half to even; 0 without orders."""
        if not self.orders:
            return 0
        quotient, rest = divmod(self.total, self.orders)
        return quotient + (2 * rest > self.orders or (2 * rest == self.orders and quotient % 2))


def nearest_rank(percentile: float, count: int) -> int:
    """Returns the rank (1 is the smallest) that is nearest to `percentile` percent of `count`; halves round up."""
    return max(math.floor(percentile / 100 * count + 0.5), 1)


def rank(figures: OrderFigures) -> tuple[int, tuple[str, ...], str]:
    """Returns a sort key for groups: largest total first, then by group key and currency.

    Totals are compared as numbers of currency units, whatever the currency.
    """
    return -finest_parts(figures.total, figures.currency_code), figures.keys, figures.currency_code


@dataclass(frozen=True, slots=True)
class FoundFigures:
    """The largest groups by rank, and totals per currency over all groups.

    `truncated`: there are more groups. `totals` include them.
    """

    groups: list[OrderFigures]
    totals: list[OrderFigures]
    truncated: bool
    #: The generation that answered; "" when no order matched.
    generation: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class CustomerMoney:
    """What a customer's orders in one currency were paid, refunded and sent back, and what is due back now."""

    currency_code: str
    paid: int = 0
    refunded: int = 0
    returned: int = 0
    refund_due: int = 0


#: Figure of CustomerMoney → the field of an order's document that it is the sum of.
CUSTOMER_MONEY: Mapping[str, str] = {
    "paid": "paid_total",
    "refunded": "refunded_total",
    "returned": "returned_total",
    "refund_due": "refund_due",
}


@dataclass(frozen=True, slots=True)
class CustomerFigures:
    """The figures of a customer's orders. `totals` has one entry per currency and leaves out cancelled orders.

    `money` has one entry per currency and is about all orders, because money of cancelled ones moved too. `recent` is
    sorted latest first.
    """

    orders: int
    cancelled_orders: int
    totals: list[OrderFigures]
    first_place_time: int | None
    last_place_time: int | None
    recent: list[OrderDocument]
    money: list[CustomerMoney] = field(default_factory=list)
    #: The generation that answered; "" when the customer has no order.
    generation: str = field(default="", compare=False)


#: Source epoch and version of an order's document. A later document has the greater pair.
Edition = tuple[int, int]
NOT_LISTED: Edition = (0, 0)


class OrderQuestions(Protocol):
    """Answers questions over many orders."""

    async def search(self, search: OrderSearch) -> FoundOrders:
        """Returns a page of a list. All of it is from one moment."""

    async def summarize(self, summaries: OrderSummaries) -> FoundFigures:
        """Returns figures by group."""

    async def customer(self, customer_id: str, *, recent: int) -> CustomerFigures:
        """Returns a customer's figures with up to `recent` latest orders. All of it is from one moment."""

    async def mark(self) -> str:
        """Returns a mark in the sequence of writes. Later writes count as changed since the mark.

        Earlier writes are searchable after any refresh that begins after this returned.
        """

    def first_mark(self, mark: str) -> str:
        """Returns the mark from which every write of the same generation counts as later."""

    def marked(self, mark: str) -> str:
        """Returns the generation that a mark belongs to."""

    async def listed(self, order_ids: Sequence[str]) -> list[Edition]:
        """Returns the editions of these orders that searches show now; NOT_LISTED where they show none."""

    async def parked_orders(self) -> Mapping[str, Sequence[int]]:
        """Returns all parked versions of each order that has a parked version newer than its document."""
