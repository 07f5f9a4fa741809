"""Puts small orders into a store and lists them page by page, for the suites of queries."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.list_gate import ListGate
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.searchable import AskedSearchability
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.order_questions import OrderCriteria, OrderSort
from query_service.application.ports.read_store import Applied, ReadStore
from query_service.application.questions.search_orders import SearchOrders
from query_service.application.watching.list_marks import ListMarks
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from tests.support.queries.order_events import START, an_order, money, published, timestamp

Step = Callable[[], Awaitable[None]]


class _NoObserver:
    def waited(self, outcome: str, seconds: float) -> None:
        """Ignores the outcome."""

    def searchable(self, outcome: str, seconds: float) -> None:
        """Ignores the outcome."""


def list_gate(store: ReadStore) -> ListGate:
    """Returns the gate before the store's lists."""
    view = FreshnessView()
    waiter = VersionWaiter(NoticeBoard(), view, time.monotonic, _NoObserver())

    async def refresh() -> bool:
        await store.refresh()
        return True

    listed = FreshnessView()
    searchable = AskedSearchability(refresh, store.listed, view, listed, time.monotonic, _NoObserver())
    return ListGate(store, waiter, view, listed, lambda _: searchable, time.monotonic, lambda: time.time_ns() // 1000)


def searching(store: ReadStore) -> SearchOrders:
    """Returns the use case over a store."""
    return SearchOrders(store, list_gate(store), ParkedOrders(), ListMarks())


def small_event(
    order_id: str, version: int, total: int, minute: int = 0, *, currency: str = "EUR", source: str = ""
) -> ProjectedEvent:
    """Returns an order with `total` units, placed `minute` minutes after START and changed `version` days later."""
    order = an_order(order_id, version)
    del order.lines[:]
    order.source, order.currency_code = source or order.source, currency
    for amount in (order.freight, order.net_total, order.tax_total, order.paid_total, order.refunded_total):
        amount.CopyFrom(money(0, 0, currency))
    order.refund_due.CopyFrom(money(0, 0, currency))
    del order.payments[:], order.refunds[:]
    order.order_number = f"SO-{uuid.UUID(order_id).int % 10**9}"
    order.total.CopyFrom(money(total, 0, currency))
    order.place_time.CopyFrom(timestamp(START + timedelta(minutes=minute)))
    order.update_time.CopyFrom(timestamp(START + timedelta(minutes=minute, days=version)))
    message = published(order)
    return project(read_event(message.headers, message.body))


def large_event(total: int, source: str = "") -> ProjectedEvent:
    """Returns an order with `total` minor units of a currency without larger units."""
    return small_event(str(uuid.uuid4()), 1, total, currency="JPY", source=source)


async def nothing() -> None:
    """Does nothing between two pages."""


async def applied(store: ReadStore, events: Sequence[ProjectedEvent]) -> None:
    """Applies events to a store and makes them searchable."""
    for start in range(0, len(events), 500):
        assert all(outcome == Applied() for outcome in await store.apply(events[start : start + 500]))
    await store.refresh()


async def all_pages(
    search: SearchOrders, sort: OrderSort, between: Step, *, size: int, criteria: OrderCriteria | None = None
) -> list[str]:
    """Returns the ids on all pages of a list; runs `between` between two pages."""
    seen: list[str] = []
    token = ""
    while True:
        page = await search(criteria or OrderCriteria(), sort, size, Consistency(), page_token=token)
        seen += [order.order_id for order in page.found.orders]
        token = page.found.token_after(len(page.found.orders))
        if not token:
            return seen
        await between()
