"""The known figures are those of the files: plain SQL over the rows says the same, and so does the importer."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator

import pytest

from devstack.importers.northwind import FILES, REGION_CODES, read_northwind
from tests.golden.known_figures import COMPANIES, Company

#: One row per line of an order. SQLite has no decimals, so prices and discounts become integers first: `exact` is a
#: line's net in ten-thousandths of a cent.
LINES = """
CREATE VIEW lines AS
SELECT
  o.orderID, o.customerID, d.productID, CAST(d.quantity AS INTEGER) AS quantity,
  CAST(round(d.unitPrice * 100) AS INTEGER) * d.quantity * (10000 - CAST(round(d.discount * 10000) AS INTEGER)) AS exact
FROM orders o JOIN "order-details" d ON d.orderID = o.orderID
"""
HALF_EVEN = "exact / 10000 + (exact % 10000 > 5000 OR exact % 10000 = 5000 AND exact / 10000 % 2 = 1)"
HALF_UP = "exact / 10000 + (exact % 10000 >= 5000)"


@pytest.fixture(scope="module", params=COMPANIES, ids=lambda company: company.name)
def company(request: pytest.FixtureRequest) -> Company:
    """Each whose files are here."""
    given: Company = request.param
    return given


@pytest.fixture
def database(company: Company) -> Iterator[sqlite3.Connection]:
    """The files as tables of texts, NULL where they say so."""
    connection = sqlite3.connect(":memory:")
    for name in FILES:
        with (company.directory / name).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        table = name.removesuffix(".csv")
        connection.execute(f'CREATE TABLE "{table}" ({", ".join(header)})')
        places = ", ".join("?" * len(header))
        values = ([None if value == "NULL" else value for value in row] for row in rows)
        connection.executemany(f'INSERT INTO "{table}" VALUES ({places})', values)
    connection.execute(LINES)
    yield connection
    connection.close()


def test_sums(company: Company, database: sqlite3.Connection) -> None:
    known = company.figures
    orders = "SELECT count(*), count(shippedDate), sum(CAST(round(freight * 100) AS INTEGER)) FROM orders"
    assert database.execute(orders).fetchone() == (known.orders, known.shipped, known.freight)
    lines = f"SELECT count(*), sum(quantity), sum({HALF_EVEN}) FROM lines"
    assert database.execute(lines).fetchone() == (known.lines, known.quantity, known.net)


@pytest.mark.mutant
def test_lines_that_are_rounded_up_would_show(company: Company, database: sqlite3.Connection) -> None:
    assert database.execute(f"SELECT sum({HALF_UP}) FROM lines").fetchone() != (company.figures.net,)


def test_groups(company: Company, database: sqlite3.Connection) -> None:
    known = company.figures
    customers = f"SELECT customerID, sum({HALF_EVEN}) FROM lines GROUP BY 1 ORDER BY 2 DESC LIMIT 3"
    assert list(database.execute(customers)) == list(known.largest_customers.items())
    largest = "SELECT count(*) FROM orders WHERE customerID = ?"
    assert database.execute(largest, [next(iter(known.largest_customers))]).fetchone() == (known.orders_of_the_largest,)
    countries = dict(database.execute("SELECT shipCountry, count(*) FROM orders GROUP BY 1"))
    assert len(countries) == known.countries
    assert {name: countries[name] for name in known.orders_by_country} == known.orders_by_country
    dates = "SELECT substr(orderDate, 1, 7) AS month FROM orders"
    months = f"SELECT count(DISTINCT month), min(month), max(month) FROM ({dates})"
    assert database.execute(months).fetchone() == (known.months, known.first_month, known.last_month)
    products = f"SELECT productID, count(*) OVER () FROM lines GROUP BY 1 ORDER BY sum({HALF_EVEN}) DESC LIMIT 1"
    assert database.execute(products).fetchone() == (known.largest_product, known.products)


def test_the_importer(company: Company) -> None:
    known, requests = company.figures, read_northwind(company.directory)

    def cents(units: int, nanos: int) -> int:
        return units * 100 + nanos // 10_000_000

    freight = sum(cents(request.freight.units, request.freight.nanos) for request in requests)
    totals = sum(cents(request.expected_total.units, request.expected_total.nanos) for request in requests)
    assert (len(requests), sum(len(request.lines) for request in requests)) == (known.orders, known.lines)
    assert (totals - freight, freight) == (known.net, known.freight)
    assert sum(bool(request.shipments) for request in requests) == known.shipped
    regions = [request.shipping_address.region_code for request in requests]
    assert len(set(regions)) == known.countries
    assert {name: regions.count(REGION_CODES[name]) for name in known.orders_by_country} == known.orders_by_country
