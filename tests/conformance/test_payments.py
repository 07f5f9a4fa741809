"""What every read store must answer about money: each movement counted once, whatever happens to its order."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from query_service.application.calendars.time_zone import time_zone
from query_service.application.ports.errors import RebuildNeeded
from query_service.application.ports.payment_questions import (
    FoundPayments,
    PaymentCriteria,
    PaymentDimension,
    PaymentFigures,
    PaymentSummaries,
)
from query_service.application.ports.read_store import Applied, ReadStore
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.storage import memory_upkeep
from query_service.storage.memory import MemoryStore
from query_service.storage.physical import writer
from query_service.storage.physical.figures import payment_figures
from query_service.storage.physical.store import PhysicalStore
from tests.support.queries.order_events import START, an_order, published, rfc3339

#: Half an hour before midnight in UTC: the next day in Berlin.
LATE = datetime(2026, 5, 1, 23, 30, tzinfo=UTC)


@pytest_asyncio.fixture(params=["memory", "physical"], scope="module", loop_scope="session")
async def store(request: pytest.FixtureRequest, elasticsearch_url: str) -> AsyncIterator[ReadStore]:
    """A store that all tests share. Each asks for the money of sources of its own."""
    opened: ReadStore = MemoryStore()
    if request.param == "physical":
        prefix = f"test-payments-{uuid.uuid4().hex[:8]}-"
        opened = PhysicalStore(elasticsearch_url, index_prefix=prefix, request_timeout=60)
    try:
        await opened.prepare()
        yield opened
    finally:
        if isinstance(opened, PhysicalStore):
            for alias in opened.names.aliases:
                await opened._connection.request("DELETE", f"/{opened.names.index(alias, 'g1')}")
        await opened.close()


@pytest.fixture
def shop() -> str:
    """A source that no other test uses."""
    return f"shop-{uuid.uuid4().hex[:8]}"


def movement(
    shop: str, kind: str, cents: int, time: datetime = START, *, version: int = 2, order_id: str = "",
    method: str = "card", currency: str = "EUR", personal: bool = True, revision: int = 0,
) -> ProjectedEvent:  # fmt: skip
    """Returns ORDER_PAID or ORDER_REFUNDED with this amount. The order after it lists no movement at all."""
    order = an_order(order_id or str(uuid.uuid4()), version)
    order.source, order.currency_code = shop, currency
    for message in (order, *order.lines):
        for field, value in message.ListFields():
            if field.message_type is not None and field.message_type.full_name == "google.type.Money":
                value.currency_code = currency
    amount = {"currencyCode": currency, "units": str(cents // 100), "nanos": cents % 100 * 10_000_000}
    change: dict[str, Any] = {"orderPaid": {"payment": {"amount": amount, "method": method, "payTime": rfc3339(time)}}}
    if kind == "REFUNDED":
        change = {"orderRefunded": {"refund": {"amount": amount, "refundTime": rfc3339(time)}}}
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{order.order_id}/{version}"))
    event = published(order, f"ORDER_{kind}", event_id=event_id, payload_changes=change, personal=personal)
    return project(read_event(event.headers, event.body), revision)


async def asked(
    store: ReadStore, shop: str, *dimensions: PaymentDimension, size: int = 1000, zone: str = "", **criteria: Any
) -> FoundPayments:
    of_zone = time_zone(zone) if zone else None
    wanted = PaymentCriteria(**{"sources": (shop,), **criteria})
    return await store.payments(PaymentSummaries(wanted, dimensions or (PaymentDimension.DAY,), size, of_zone))


async def test_money_is_counted_by_day_method_and_source(store: ReadStore, shop: str) -> None:
    other = f"{shop}-other"
    await store.apply(
        [
            movement(shop, "PAID", 5_00),
            movement(shop, "PAID", 7_50, LATE, method="transfer"),
            movement(other, "REFUNDED", 2_25, LATE),
            movement(shop, "PAID", 1_00, START - timedelta(days=400), currency="USD"),
        ]
    )
    both: dict[str, Any] = {"sources": (shop, other)}
    found = await asked(store, shop, **both)
    assert found.groups == [
        PaymentFigures(("2025-03-27",), "USD", 1, 1_00),
        PaymentFigures(("2026-05-01",), "EUR", 2, 12_50, 1, 2_25),
    ]
    assert found.totals == [PaymentFigures((), "EUR", 2, 12_50, 1, 2_25), PaymentFigures((), "USD", 1, 1_00)]
    first = await asked(store, shop, size=1, **both)
    assert (first.groups, first.totals, first.truncated) == (found.groups[:1], found.totals, True)
    dimensions = (PaymentDimension.METHOD, PaymentDimension.SOURCE)
    methods = await asked(store, shop, *dimensions, currency_code="EUR", **both)
    assert [(group.keys, group.paid, group.refunded) for group in methods.groups] == [
        (("", other), 0, 2_25),
        (("card", shop), 5_00, 0),
        (("transfer", shop), 7_50, 0),
    ]
    card = await asked(store, shop, methods=("card",), currency_code="EUR", **both)
    assert card.totals == [PaymentFigures((), "EUR", 1, 5_00)]
    assert (await asked(store, other)).totals == [PaymentFigures((), "EUR", 0, 0, 1, 2_25)]
    late = int(LATE.timestamp()) * 1_000_000
    assert [total.paid for total in (await asked(store, shop, moved_from=late)).totals] == [7_50]
    assert {total.paid for total in (await asked(store, shop, moved_until=late)).totals} == {5_00, 1_00}
    assert (await asked(store, shop, moved_from=late + 1)).totals == []


async def check_local_days(store: ReadStore, shop: str) -> None:
    found = await asked(store, shop, zone="Europe/Berlin")
    assert [(group.keys[0], group.paid, group.refunded) for group in found.groups] == [
        ("2026-05-01", 5_00, 0),
        ("2026-05-02", 7_50, 0),
        ("2026-06-02", 0, 1),
    ]


async def test_money_is_counted_on_its_local_day(store: ReadStore, shop: str) -> None:
    times = (("PAID", 5_00, START), ("PAID", 7_50, LATE), ("REFUNDED", 1, LATE + timedelta(days=31)))
    await store.apply([movement(shop, *each) for each in times])
    await check_local_days(store, shop)
    dimensions = (PaymentDimension.SOURCE, PaymentDimension.WEEK, PaymentDimension.MONTH)
    weeks = await asked(store, shop, *dimensions, zone="Europe/Berlin")
    counted = Counter({group.keys: group.payments + group.refunds for group in weeks.groups})
    assert counted == {(shop, "2026-W18", "2026-05"): 2, (shop, "2026-W23", "2026-06"): 1}


async def test_sums_of_money_are_exact(store: ReadStore, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 10**15
    await store.apply([movement(shop, "PAID", largest - number) for number in range(12)])
    exact = 12 * largest - sum(range(12))
    assert [total.paid for total in (await asked(store, shop)).totals] == [exact]
    assert [group.paid for group in (await asked(store, shop, zone="Asia/Tokyo")).groups] == [exact]
    monkeypatch.setattr(payment_figures, "GROUPS_AT_ONCE", 2)  # so the values take several pages
    assert [total.paid for total in (await asked(store, shop)).totals] == [exact]


async def test_small_sums_before_a_huge_one_count_once(
    store: ReadStore, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [START + timedelta(days=number) for number in range(3)]
    large = [movement(shop, "PAID", 10**15, times[2]) for _ in range(10)]
    await store.apply([movement(shop, "PAID", 5, times[0]), movement(shop, "PAID", 7, times[1]), *large])
    monkeypatch.setattr(payment_figures, "GROUPS_AT_ONCE", 2)  # so the huge sum stands on a later page
    days = (await asked(store, shop, PaymentDimension.DAY)).groups
    assert sorted(day.paid for day in days) == [5, 7, 10 * 10**15]


async def check_counted_once(store: ReadStore, shop: str) -> None:
    """The check: events that are projected again, also with a higher revision, count once."""
    order_id = str(uuid.uuid4())

    def events(revision: int = 0) -> list[ProjectedEvent]:
        return [
            movement(shop, "PAID", 10_01, order_id=order_id, revision=revision),
            movement(shop, "REFUNDED", 3, version=3, order_id=order_id, revision=revision),
        ]

    for batch in (events(), events()[::-1], events(1), events()):
        assert await store.apply(batch) == [Applied()] * 2
    assert (await asked(store, shop)).totals == [PaymentFigures((), "EUR", 1, 10_01, 1, 3)]


async def test_money_counts_once(store: ReadStore, shop: str) -> None:
    await check_counted_once(store, shop)


@pytest.mark.mutant
async def test_a_payment_that_counts_again_when_projected_again_is_noticed(
    store: ReadStore, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: each projection of an event is an entry of its own."""
    for module in (memory_upkeep, writer):
        monkeypatch.setattr(
            module, "event_document_id", lambda order_id, version: f"{order_id}/{version}/{uuid.uuid4()}"
        )
    with pytest.raises(AssertionError, match="payments="):
        await check_counted_once(store, shop)


async def test_redaction_changes_no_figure_of_money(store: ReadStore, shop: str) -> None:
    order_id = str(uuid.uuid4())
    await store.apply([movement(shop, "PAID", 9_99, order_id=order_id), movement(shop, "REFUNDED", 1, version=3)])
    dimensions = (PaymentDimension.METHOD, PaymentDimension.DAY)
    before = await asked(store, shop, *dimensions)
    await store.apply([movement(shop, "PAID", 9_99, order_id=order_id, personal=False, revision=1)])
    [entry] = await store.entries(order_id, [2])
    assert entry is not None
    assert entry["personal"] is None
    assert await asked(store, shop, *dimensions) == before


@pytest.mark.parametrize("store", ["physical"], indirect=True)
async def test_entries_of_an_earlier_release_need_a_rebuild(store: PhysicalStore, shop: str) -> None:
    event = movement(shop, "PAID", 1)
    old = {name: value for name, value in event.event.items() if name not in ("money", "money_moves")}
    path = f"/{store.names.entries}/_doc/{event.order_id}%2F2"
    await store._connection.request("PUT", path, body=old)
    try:
        with pytest.raises(RebuildNeeded, match="money_moves"):
            await asked(store, shop)
    finally:
        await store._connection.request("DELETE", path)
    assert (await asked(store, shop)).totals == []
