"""Reads the pages of an export of orders, each in a snapshot of its own.

A page that is sent holds no snapshot and no connection, so a slow caller keeps nothing in the database from being
cleaned up. Only one page of an export is in memory. Orders and events become messages one by one while they are read,
because commands run in the same loop and must not wait for a whole page.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from command_service.application.exporting.page_room import PageRoom
from command_service.application.exporting.ports import Head, Snapshot, Snapshots, StoredEvent
from command_service.application.exporting.selections import OrderSelection, View
from command_service.domain.order import Order


class Image(Protocol):
    """An order as the contract represents it."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        """Returns its bytes on the wire."""


#: Turns an order, and an event, into the message that a page contains.
RepresentOrder = Callable[[Order], Image]
RepresentEvent = Callable[[StoredEvent], Any]


@dataclass(slots=True)
class ExportedOrder:
    """One order of a page, with messages of its events up to the version `sent`.

    `continues` says that its events are too large for the page, and the next one has more.
    """

    head: Head
    image: Image | None = None
    events: list[Any] = field(default_factory=list)
    sent: int = 0
    continues: bool = False


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page. `last` is the id of the last order that is complete; `ended` says that no page follows."""

    orders: list[ExportedOrder]
    last: UUID
    ended: bool
    read_time: datetime
    source_epoch: int


class OrderPages:
    """Reads pages of orders."""

    def __init__(self, snapshots: Snapshots, order: RepresentOrder, event: RepresentEvent) -> None:
        self._snapshots, self._represent, self._represent_event = snapshots, order, event

    async def read(self, selection: OrderSelection, view: View, page_size: int) -> AsyncGenerator[OrderPage]:
        """Yields at least one page, each with at most `page_size` orders, until no selected order is left.

        Raises as Snapshots and Snapshot say.
        """
        sent: tuple[UUID, int] | None = None
        while True:
            async with self._snapshots.open() as snapshot:
                if view is View.JOURNAL:
                    page = await self._journals(snapshot, selection, page_size, sent)
                else:
                    page = await self._orders(snapshot, selection, view, page_size)
            yield page
            if page.ended:
                return
            selection = replace(selection, after=page.last)
            sent = _sent(page)

    async def _orders(self, snapshot: Snapshot, selection: OrderSelection, view: View, page_size: int) -> OrderPage:
        room, orders, ended = PageRoom(), list[ExportedOrder](), True
        async with aclosing(self._exported(snapshot, selection, view, page_size + 1)) as found:
            async for exported in found:
                size = 0 if exported.image is None else exported.image.ByteSize()
                if len(orders) == page_size or not room.takes(size):
                    ended = False
                    break
                orders.append(exported)
        return _page(snapshot, selection, orders, ended=ended)

    async def _exported(
        self, snapshot: Snapshot, selection: OrderSelection, view: View, limit: int
    ) -> AsyncGenerator[ExportedOrder]:
        if view is View.HEADS:
            async with aclosing(snapshot.heads(selection, limit)) as heads:
                async for head in heads:
                    yield ExportedOrder(head)
        else:
            async with aclosing(snapshot.orders(selection, limit)) as orders:
                async for head, order in orders:
                    yield ExportedOrder(head, self._represent(order))

    async def _journals(
        self, snapshot: Snapshot, selection: OrderSelection, page_size: int, sent: tuple[UUID, int] | None
    ) -> OrderPage:
        """Reads a page of journals. `sent` is the order that the page before left incomplete, up to which version."""
        heads = [head async for head in snapshot.heads(selection, page_size + 1)]
        ended = len(heads) <= page_size
        orders = [ExportedOrder(head) for head in heads[:page_size]]
        if not orders:
            return _page(snapshot, selection, orders, ended=True)
        places = {exported.head.order_id: place for place, exported in enumerate(orders)}
        first = orders[0].head.order_id
        room = PageRoom()
        after_version = sent[1] if sent is not None and sent[0] == first else 0
        async with aclosing(snapshot.journals(list(places), after_version)) as events:
            async for event in events:
                place = places[event.link.aggregate_id]
                if not room.takes(event.size):
                    orders[0].continues = place == 0
                    return _page(snapshot, selection, orders[: max(1, place)], ended=False)
                orders[place].events.append(self._represent_event(event))
                orders[place].sent = event.link.aggregate_version
        return _page(snapshot, selection, orders, ended=ended)


def _page(snapshot: Snapshot, selection: OrderSelection, orders: list[ExportedOrder], *, ended: bool) -> OrderPage:
    complete = [exported.head.order_id for exported in orders if not exported.continues]
    last = complete[-1] if complete else selection.after
    return OrderPage(orders, last, ended, snapshot.read_time, snapshot.source_epoch)


def _sent(page: OrderPage) -> tuple[UUID, int] | None:
    """Returns the order of which the page has only the first events, and the version of the last of them."""
    if not page.orders or not page.orders[-1].continues:
        return None
    return page.orders[-1].head.order_id, page.orders[-1].sent
