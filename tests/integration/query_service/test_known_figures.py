"""The known figures of whole companies, from every store: of our own one, and of Northwind where its files are."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest
from tandem.orders.v1.order_types_pb2 import Order

from devstack.importers.northwind import REGION_CODES, SOURCE, read_northwind
from query_service.application.calendars.time_zone import time_zone
from query_service.application.ports.order_questions import (
    Dimension,
    FoundFigures,
    OrderCriteria,
    OrderSearch,
    OrderSort,
    OrderSummaries,
)
from query_service.application.ports.payment_questions import (
    PaymentCriteria,
    PaymentDimension,
    PaymentFigures,
    PaymentSummaries,
)
from query_service.application.ports.read_store import Applied, ReadStore
from query_service.projection.project import ProjectedEvent, project
from query_service.projection.stream_event import read_event
from query_service.projection.words.asked import asked_words
from query_service.storage.memory import MemoryStore
from query_service.storage.physical.store import PhysicalStore
from tests.golden.known_figures import COMPANIES, Company, Figures
from tests.support.queries.listed_orders import all_pages, searching
from tests.support.queries.order_events import published

ALL = OrderCriteria(sources=(SOURCE,))


def cents(amount: Money) -> int:
    return int(amount.units) * 100 + int(amount.nanos) // 10_000_000


def dollars(amount: int) -> Money:
    return Money(currency_code="USD", units=amount // 100, nanos=amount % 100 * 10_000_000)


def half_even(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2))


def imported(request: ImportOrdersRequest) -> ProjectedEvent:
    """The order as the write side leaves it after the import."""
    shipped = bool(request.shipments)
    lines = []
    for number, line in enumerate(request.lines, start=1):
        gross = cents(line.unit_price) * line.quantity
        lines.append(
            types.OrderLine(
                line_number=number,
                sku=line.sku,
                product_name=line.product_name,
                unit_price=line.unit_price,
                quantity=line.quantity,
                discount_basis_points=line.discount_basis_points,
                net_amount=dollars(half_even(gross * (10_000 - line.discount_basis_points), 10_000)),
                tax_amount=dollars(0),
                shipped_quantity=line.quantity if shipped else 0,
            )
        )
    net = sum(cents(line.net_amount) for line in lines)
    order = types.Order(
        order_id=request.order_id,
        order_number=request.order_number,
        version=1,
        state=types.ORDER_STATE_SHIPPED if shipped else types.ORDER_STATE_PLACED,
        source=request.source,
        customer=request.customer,
        billing_address=request.billing_address,
        shipping_address=request.shipping_address,
        lines=lines,
        currency_code="USD",
        freight=request.freight,
        net_total=dollars(net),
        tax_total=dollars(0),
        total=dollars(net + cents(request.freight)),
        place_time=request.place_time,
        update_time=request.place_time,
        payments=request.payments,
    )
    assert order.total == request.expected_total
    message = published(order, "ORDER_IMPORTED", event_id=str(uuid.uuid5(uuid.NAMESPACE_OID, request.order_id)))
    return project(read_event(message.headers, message.body))


@pytest.fixture(scope="module", params=COMPANIES, ids=lambda company: company.name)
def company(request: pytest.FixtureRequest) -> Company:
    """Each whose files are here."""
    given: Company = request.param
    return given


@pytest.fixture
def known(company: Company) -> Figures:
    """What must come out."""
    return company.figures


@pytest_asyncio.fixture(params=["memory", "physical"], scope="module", loop_scope="session")
async def store(request: pytest.FixtureRequest, company: Company, elasticsearch_url: str) -> AsyncIterator[ReadStore]:
    """A store with the company's books in it."""
    opened: ReadStore = MemoryStore()
    if request.param == "physical":
        prefix = f"test-figures-{uuid.uuid4().hex[:8]}-"
        opened = PhysicalStore(elasticsearch_url, index_prefix=prefix, request_timeout=20)
    try:
        await opened.prepare()
        outcomes = await opened.apply([imported(one) for one in read_northwind(company.directory)])
        assert outcomes == [Applied()] * company.figures.orders
        await opened.refresh()
        yield opened
    finally:
        if isinstance(opened, PhysicalStore):
            for alias in opened.names.aliases:
                await opened._connection.request("DELETE", f"/{opened.names.index(alias, 'g1')}")
        await opened.close()


async def figures(store: ReadStore, *dimensions: Dimension, size: int = 1000) -> FoundFigures:
    return await store.summarize(OrderSummaries(ALL, dimensions, size))


async def test_revenue_and_freight(store: ReadStore, known: Figures) -> None:
    [total] = (await figures(store, Dimension.STATE)).totals
    assert (total.orders, total.net_total, total.freight) == (known.orders, known.net, known.freight)
    assert (total.tax_total, total.total) == (0, known.net + known.freight)
    assert total.quantity == known.quantity


async def test_shipped_and_not_shipped(store: ReadStore, known: Figures) -> None:
    states = {group.keys: group.orders for group in (await figures(store, Dimension.STATE)).groups}
    assert states == {("SHIPPED",): known.shipped, ("PLACED",): known.orders - known.shipped}


async def test_the_largest_customers(store: ReadStore, known: Figures) -> None:
    found = await figures(store, Dimension.CUSTOMER, size=3)
    assert found.truncated
    by_net = sorted((await figures(store, Dimension.CUSTOMER)).groups, key=lambda group: -group.net_total)
    assert [(group.keys[0], group.net_total) for group in by_net[:3]] == list(known.largest_customers.items())
    largest, net = next(iter(known.largest_customers.items()))
    summary = await store.customer(largest, recent=10)
    assert [total.net_total for total in summary.totals] == [net]
    assert (summary.orders, summary.cancelled_orders, len(summary.recent)) == (known.orders_of_the_largest, 0, 10)


async def test_countries(store: ReadStore, known: Figures) -> None:
    countries = {group.keys[0]: group.orders for group in (await figures(store, Dimension.COUNTRY)).groups}
    assert len(countries) == known.countries
    assert {name: countries[REGION_CODES[name]] for name in known.orders_by_country} == known.orders_by_country
    assert not any(character.isdigit() for code in countries for character in code)
    facets = (await store.search(OrderSearch(ALL, size=1, facets=(Dimension.COUNTRY,)))).facets
    assert dict(facets[Dimension.COUNTRY]) == countries


async def test_months(store: ReadStore, known: Figures) -> None:
    found = await figures(store, Dimension.MONTH)
    months = sorted(group.keys[0] for group in found.groups)
    assert (months[0], months[-1], len(months)) == (known.first_month, known.last_month, known.months)
    assert sum(group.orders for group in found.groups) == known.orders


async def test_products_add_up_to_the_revenue(store: ReadStore, known: Figures) -> None:
    found = await figures(store, Dimension.PRODUCT)
    assert len(found.groups) == known.products
    assert sum(group.net_total for group in found.groups) == known.net
    assert [(total.orders, total.net_total, total.freight) for total in found.totals] == [(known.orders, known.net, 0)]
    assert found.groups[0].keys == (known.largest_product,)


async def test_money_received(store: ReadStore, known: Figures) -> None:
    asked = PaymentSummaries(PaymentCriteria(sources=(SOURCE,)), (PaymentDimension.MONTH,))
    found = await store.payments(asked)
    assert found.totals == [PaymentFigures((), "USD", known.shipped, known.paid)]
    months = {group.keys[0]: group.paid for group in found.groups}
    assert {month: months[month] for month in known.paid_by_month} == known.paid_by_month
    assert sum(months.values()) == known.paid
    # The files have days without hours, which are taken as midnight in UTC: still the day before in New York.
    in_new_york = await store.payments(replace(asked, zone=time_zone("America/New_York")))
    assert in_new_york.totals == found.totals
    assert sum(group.paid for group in in_new_york.groups) == known.paid
    assert in_new_york.groups != found.groups


async def test_people_find_their_orders(store: ReadStore, known: Figures) -> None:
    for text, customer, least in known.found:
        found = await store.search(OrderSearch(OrderCriteria(words=asked_words(text)), size=200))
        assert found.total >= least, text
        assert customer in {Order.FromString(order.encoded).customer.customer_id for order in found.orders}, text


@pytest.mark.parametrize("sort", list(OrderSort))
async def test_every_order_is_on_one_page(store: ReadStore, known: Figures, sort: OrderSort) -> None:
    async def nothing() -> None:
        """The books are closed."""

    seen = await all_pages(searching(store), sort, nothing, size=known.orders // 9, criteria=ALL)
    assert (len(seen), len(set(seen))) == (known.orders, known.orders)
