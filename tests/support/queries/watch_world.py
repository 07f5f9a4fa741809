"""A stream and a store in memory, and watchers over them, for tests of watching in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.ports.change_stream import Message, StreamBounds
from query_service.application.ports.errors import (
    ResumeTokenExpired,
)
from query_service.application.ports.order_questions import OrderCriteria
from query_service.application.ports.read_store import Freshness, ParkedEvent
from query_service.application.watching.change import Change, read_message
from query_service.application.watching.live_changes import LiveChanges, Sources
from query_service.application.watching.resume_token import ResumePoint, read_resume_token
from query_service.application.watching.watch_orders import WatchLimits, WatchOrders
from query_service.projection.errors import Unprojectable
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.order_events import START, an_order, barrier_headers, published, redacted

CREATED = 7
ORDERS = [f"018f6b1e-7c3a-7d6e-9b2a-{number:012d}" for number in range(5)]


@dataclass
class Sent:
    """A message of the stream under test."""

    sequence: int
    headers: dict[str, str]
    body: bytes = b""


class Stream:
    """A stream in memory, which tests write and cut off."""

    def __init__(self) -> None:
        self.messages: list[Sent] = []
        self.first = 1
        self.created = CREATED
        self.changed = asyncio.Event()

    def add(self, order_id: str, version: int) -> Sent:
        event = published(an_order(order_id, version))
        return self._add(Sent(len(self.messages) + 1, dict(event.headers), event.body))

    def add_redaction(self, order_id: str, version: int) -> Sent:
        order = redacted(an_order(order_id, version))
        order.redacted = True
        event = published(order, "ORDER_REDACTED")
        return self._add(Sent(len(self.messages) + 1, dict(event.headers), event.body))

    def add_barrier(self) -> Sent:
        return self._add(Sent(len(self.messages) + 1, dict(barrier_headers(START, 1))))

    def _add(self, message: Sent) -> Sent:
        self.messages.append(message)
        self.changed.set()
        return message

    async def bounds(self) -> StreamBounds:
        return StreamBounds(self.created, self.first, len(self.messages))

    async def message(self, sequence: int) -> Message | None:
        return self.messages[sequence - 1] if self.first <= sequence <= len(self.messages) else None

    async def after(self, sequence: int, created_at: int) -> AsyncGenerator[Message, None]:
        while True:
            if self.first > sequence + 1:
                raise ResumeTokenExpired("gone")
            if sequence < len(self.messages):
                await asyncio.sleep(0.001)
                yield self.messages[sequence]
                sequence += 1
            else:
                self.changed.clear()
                await self.changed.wait()


def encode(change: Change | None, token: str, as_of: int | None) -> bytes:
    name = ""
    if change is not None:
        order = change.projected().order
        without = "" if Order.FromString(order["order"]).customer.display_name else "-"
        name = f"{order['order_id'][-1]}{order['version']}{without}"
    return f"{name} {token}".encode()


@dataclass
class World:
    """A store, a stream, and the watching over both."""

    most: int = 1000
    watchers: int = 100
    kept: int = 500
    store: MemoryStore = field(default_factory=MemoryStore)
    board: NoticeBoard = field(default_factory=NoticeBoard)
    parked: ParkedOrders = field(default_factory=ParkedOrders)
    stream: Stream = field(default_factory=Stream)

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        sources = Sources(self.store, self.stream, self.board, self.parked, encode, clock, kept=self.kept)
        self.live = LiveChanges(sources)
        limits = WatchLimits(self.watchers, silence=5.0, seconds=120.0, buffer=self.most)
        self.watch = WatchOrders(self.live, sources, limits)

    async def apply(self, *messages: Sent) -> None:
        """Applies messages as a projector does, and notifies."""
        events = [project(read_event(message.headers, message.body)) for message in messages]
        await self.store.apply(events)
        self.board.announce(event.order_id for event in events)

    async def write(self, order: int, version: int) -> None:
        await self.apply(self.stream.add(ORDERS[order], version))

    async def redact(self, order: int, version: int) -> None:
        await self.apply(self.stream.add_redaction(ORDERS[order], version))

    async def park(self, message: Sent) -> None:
        """Records in the store that a projector could not apply a message."""
        change = read_message(message)
        assert isinstance(change, Change)
        await self.store.park(
            ParkedEvent(
                order_id=change.order_id,
                version=change.edition[1],
                event_id=message.headers["ce-id"],
                event_type="ORDER_REVISED",
                stream="ORDERS",
                sequence=message.sequence,
                stored_at=CREATED + message.sequence,
                parked_at=CREATED + message.sequence,
                reason=Unprojectable.UNMAPPABLE,
                detail="order_number is too long",
            )
        )

    async def claim(self) -> None:
        """Records that everything so far is applied."""
        freshness = Freshness(len(self.stream.messages), 1, "g1", CREATED, len(self.stream.messages))
        await self.store.record_freshness(freshness)

    def watching(
        self, token: str = "", *, latest: bool = False, orders: Iterable[int] = (), words: Iterable[str] = ()
    ) -> Watched:
        """Starts a watch of these orders, and of those whose search text has these words."""
        criteria = OrderCriteria(
            order_ids=tuple(ORDERS[order] for order in orders), words=tuple((word,) for word in words)
        )
        return Watched(self.watch(criteria, token, latest=latest))


class Watched:
    """What one watcher gets."""

    def __init__(self, responses: AsyncGenerator[bytes, None]) -> None:
        self.responses = responses
        self.token = ""

    async def next(self) -> str:
        """Returns the next response: "12" is version 2 of order 1, "12-" without personal data, "" a sign of life."""
        name, _, self.token = (await anext(self.responses)).decode().partition(" ")
        return name

    async def changes(self, count: int) -> list[str]:
        got: list[str] = []
        while len(got) < count:
            if name := await self.next():
                got.append(name)
        return got

    async def is_silent(self) -> bool:
        """Returns whether the next response is a sign of life."""
        return await self.next() == ""

    @property
    def point(self) -> ResumePoint:
        """The point of the last response."""
        return read_resume_token(self.token)

    async def leave(self) -> None:
        await self.responses.aclose()
