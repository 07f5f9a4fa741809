"""The Northwind files become requests whose amounts are those of the books; a damaged file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.importers.northwind import FILES, BadSource, read_northwind

SMALL = {
    "customers.csv": """\
customerID,companyName,contactName,contactTitle,address,city,region,postalCode,country,phone,fax
KOENE,Königlich Essen,Philip Cramer,Agent,Maubelstr. 90,Brandenburg,NULL,14776,Germany,0555-09876,NULL
""",
    "orders.csv": """\
orderID,customerID,orderDate,shippedDate,shipVia,freight,shipName,shipAddress,shipCity,shipRegion,shipPostalCode,shipCountry
1,KOENE,1996-07-04 00:00:00.000,1996-07-16 00:00:00.000,3,32.38,Essen,Maubelstr. 90,Brandenburg,NULL,14776,UK
2,KOENE,1998-05-06 00:00:00.000,NULL,2,0.02,Essen,Maubelstr. 90,Brandenburg,NULL,14776,Germany
""",
    "order-details.csv": """\
orderID,productID,unitPrice,quantity,discount
1,11,14.00,12,0
1,42,9.85,3,0.15
2,11,0.01,1,0
""",
    "products.csv": "productID,productName\n11,Queso Cabrales\n42,Singaporean Hokkien Fried Mee\n",
    "shippers.csv": "shipperID,companyName,phone\n2,United Package,1\n3,Federal Shipping,2\n",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small company in the same form."""
    for name, text in SMALL.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_an_order_that_was_shipped(small: Path) -> None:
    order = read_northwind(small)[0]
    assert (order.source, order.order_number) == ("northwind", "1")
    # 168.00 + half-even(9.85 x 3 x 0.85 = 25.1175) 25.12 + 32.38
    assert (order.expected_total.units, order.expected_total.nanos) == (225, 500_000_000)
    assert order.shipping_address.region_code == "GB"
    assert order.billing_address.region_code == "DE"
    assert [payment.method for payment in order.payments] == ["on_account"]
    assert order.payments[0].amount == order.expected_total
    assert [(item.line_number, item.quantity) for item in order.shipments[0].items] == [(1, 12), (2, 3)]
    assert order.shipments[0].carrier == "Federal Shipping"
    assert order.shipments[0].ship_time.ToJsonString() == "1996-07-16T00:00:00Z"


def test_an_order_that_was_not(small: Path) -> None:
    order = read_northwind(small)[1]
    assert not order.payments
    assert not order.shipments
    assert order.place_time.ToJsonString() == "1998-05-06T00:00:00Z"


def test_a_second_reading_gives_the_same_requests(small: Path) -> None:
    assert read_northwind(small) == read_northwind(small)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(small: Path, name: str) -> None:
    (small / name).unlink()
    with pytest.raises(BadSource, match=name):
        read_northwind(small)


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("orders.csv", "KOENE,1996", "NOBODY,1996", "NOBODY"),
        ("orders.csv", "32.38", "much", "order 1"),
        ("orders.csv", "1996-07-04", "yesterday", "order 1"),
        ("orders.csv", "14776,UK", "14776,Atlantis", "Atlantis"),
        ("order-details.csv", "1,11,14.00,12,0", "1,99,14.00,12,0", "99"),
    ],
)
def test_a_damaged_row_is_named(small: Path, name: str, old: str, new: str, named: str) -> None:
    path = small / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadSource, match=named):
        read_northwind(small)
