"""Returns sorted pages of the orders that match a text and filters.

No order appears on two pages, even if orders arrive and change while the list is read. A page begins after the last
order returned, so an order that arrives before that place shifts nothing. In most sorts an order cannot move from the
pages that were read to those that were not: its key never changes, or only moves it to the front. But a total can rise
and fall, and a later update time moves an order to the end of an ascending list. So in these sorts, the earlier
versions of each order that was written since the first page are read from the journal. If one of these versions was
within the pages read, the order is left out, because it may have been returned there. A list lacks an order only if the
order changed while the list was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.ports.errors import PageTokenMalformed
from query_service.application.ports.order_questions import (
    SORT_KEYS,
    Dimension,
    FoundOrder,
    FoundOrders,
    OrderCriteria,
    OrderSearch,
    OrderSort,
    Position,
    comes_after,
    position_of,
)
from query_service.application.ports.read_store import OrderReader
from query_service.application.questions.page_token import (
    list_fingerprint,
    place_value,
    read_page_token,
    write_page_token,
)
from query_service.application.watching.list_marks import ListMarks
from query_service.projection.currency import FINEST_PARTS
from query_service.projection.project import order_after

#: A changed order with more earlier versions than this is left out without reading them.
MOST_VERSIONS = 64
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of orders. `total` counts all matches. `more`: there are orders after the page.

    `resume_token` watches from this list on. Only the first page has one: later pages are read later, and a watch from
    there would miss a change that came between and that no page shows.
    """

    orders: list[FoundOrder]
    total: int
    facets: Mapping[Dimension, list[tuple[str, int]]]
    label_values: list[tuple[str, int]]
    more: bool
    resume_token: str
    _fingerprint: str
    _mark: str

    def token_after(self, count: int) -> str:
        """Returns the token for the page after the first `count` orders; "" when there is none.

        `count` may be 0 only for an empty page.
        """
        if count == len(self.orders) and not self.more:
            return ""
        place = self.orders[count - 1].position
        return write_page_token(
            self._fingerprint, {"x": int(place.exact), "k": place.key, "o": place.order_id, "m": self._mark}
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """The first answer to a page's searches, the orders of the page, and the list's mark."""

    found: FoundOrders
    orders: list[FoundOrder]
    mark: str

    @property
    def generation(self) -> str:
        """The generation that answered."""
        return self.found.generation


class SearchOrders:
    """Reads pages of orders, as fresh as the caller wants."""

    def __init__(self, reader: OrderReader, gate: ListGate, parked: ParkedOrders, marks: ListMarks) -> None:
        self._reader, self._gate, self._parked, self._marks = reader, gate, parked, marks

    async def __call__(
        self,
        criteria: OrderCriteria,
        sort: OrderSort,
        size: int,
        wanted: Consistency,
        *,
        page_token: str = "",
        facets: tuple[Dimension, ...] = (),
        facet_label: str = "",
        basic: bool = False,
    ) -> Answer[OrderPage]:
        """Returns a page of up to `size` orders. Raises PageTokenMalformed, Parked, Lagging and TokenOfOtherSource."""
        fingerprint = list_fingerprint(criteria, sort)
        place, mark = _place(page_token, fingerprint, sort) if page_token else (None, "")
        search = OrderSearch(criteria, sort, size + 1, place, facets, mark, facet_label, basic)

        async def read() -> _Read:
            return await (self._first_page(search) if place is None else self._following_page(search))

        read_page, admission = await self._gate.read(wanted, read)
        orders, found = read_page.orders, read_page.found
        resume_token = "" if page_token else self._marks.token(admission.claims.of(found.generation))
        page = OrderPage(
            orders[:size],
            found.total,
            found.facets,
            found.label_values,
            len(orders) > size,
            resume_token,
            fingerprint,
            read_page.mark,
        )
        parked = self._parked.any_of((order.order_id, order.version) for order in page.orders)
        info = admission.info(found.generation)
        return Answer(page, replace(info, parked=True) if parked else info)

    async def _first_page(self, search: OrderSearch) -> _Read:
        """Reads a first page. Its mark is of the generation that answers, also when a switch comes in between."""
        while True:
            mark = await self._gate.mark() if SORT_KEYS[search.sort].returns else ""
            found = await self._reader.search(search)
            if not mark or found.generation in ("", self._reader.marked(mark)):
                return _Read(found, found.orders, mark)

    async def _following_page(self, search: OrderSearch) -> _Read:
        return _Read(*await self._read(search), search.since)

    async def _read(self, search: OrderSearch) -> tuple[FoundOrders, list[FoundOrder]]:
        """Returns the first answer, and the following orders that cannot have been on an earlier page."""
        first = found = await self._reader.search(search)
        orders: list[FoundOrder] = []
        after = search.after
        assert after is not None
        while True:
            if not any(order.changed for order in found.orders):
                orders += found.orders
            else:
                unread = await asyncio.gather(*(self._unread(order, after, search) for order in found.orders))
                orders += [order for order, keep in zip(found.orders, unread, strict=True) if keep]
            if len(found.orders) < search.size or len(orders) >= search.size:
                return first, orders
            after = found.orders[-1].position
            found = await self._reader.search(replace(search, after=after, facets=(), facet_label=""))

    async def _unread(self, order: FoundOrder, read: Position, search: OrderSearch) -> bool:
        """Returns whether the order is unchanged, or all its earlier versions are after `read` in the list."""
        if not order.changed:
            return True
        earlier = range(1, order.version)
        if len(earlier) > MOST_VERSIONS:
            return False
        entries = await self._reader.entries(order.order_id, earlier)
        return all(
            entry is not None
            and comes_after(position_of(order_after(entry), search.sort, search.criteria.lookup_key), read, search.sort)
            for entry in entries
        )


def _place(page_token: str, fingerprint: str, sort: OrderSort) -> tuple[Position, str]:
    place = read_page_token(page_token, fingerprint)
    if SORT_KEYS[sort].is_text:
        key: int | str = place_value(place, "k", str)
    else:
        key = number = place_value(place, "k", int)
        if number // (FINEST_PARTS if SORT_KEYS[sort].is_total else 1) not in _INT64:
            raise PageTokenMalformed("the page token holds an impossible number; begin again without a page token")
    position = Position(key, place_value(place, "o", str), bool(place_value(place, "x", int)))
    return position, place_value(place, "m", str)
