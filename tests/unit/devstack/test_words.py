"""Words on the command line become exact requests; words of the wrong form are named, with the right one."""

from __future__ import annotations

import contextlib

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from devstack.cli.order_screens.order_words import amount
from devstack.cli.orders.words import WrongWord, basis_points, line_quantity, money, new_line, whole_number


def test_a_line_in_full() -> None:
    for text in (
        "BELL:Bicycle bell:12.50:2:10%:21",
        "sku=BELL,name=Bicycle bell,price=12.50,quantity=2,discount=10%,tax=21%",
        'tax=21%,sku=BELL,name="Bicycle bell",discount=10,quantity=2,price=12.5',
    ):
        line = new_line(text, "EUR")
        assert (line.sku, line.product_name, line.quantity) == ("BELL", "Bicycle bell", 2)
        assert line.unit_price == Money(currency_code="EUR", units=12, nanos=500_000_000)
        assert (line.discount_basis_points, line.tax_rate_basis_points) == (1_000, 2_100)


def test_a_line_may_name_the_number_that_it_keeps() -> None:
    assert new_line("line=3,sku=BELL,name=Bell,price=1", "EUR").line_number == 3
    assert new_line("BELL:Bell:1:1:0:0", "EUR").line_number == 0
    with pytest.raises(WrongWord, match="line"):
        new_line("sku=BELL,name=Bell,price=1,line=x", "EUR")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BELL:Bell:1", (1, 0, 0)),
        ("BELL:Bell:1:3", (3, 0, 0)),
        ("BELL:Bell:1:3:2.5%", (3, 250, 0)),
        ("BELL:Bell:1:3::19%", (3, 0, 1_900)),
        ("BELL:Bell:1:::19%", (1, 0, 1_900)),
        ("sku=BELL,name=Bell,price=1", (1, 0, 0)),
        ("sku=BELL,name=Bell,price=1,tax=19%", (1, 0, 1_900)),
    ],
)
def test_what_is_left_out_has_a_default(text: str, expected: tuple[int, int, int]) -> None:
    line = new_line(text, "EUR")
    assert (line.quantity, line.discount_basis_points, line.tax_rate_basis_points) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"A:Tea\: green:1.00:2", "Tea: green"),
        ('A:"Tea: green":1.00:2', "Tea: green"),
        ('A:"Tea ""fine"": green":1.00:2', 'Tea "fine": green'),
        ('sku=A,name="Tea: green, loose",price=1.00,quantity=2', "Tea: green, loose"),
        (r"sku=A,name=Tea\, green,price=1.00,quantity=2", "Tea, green"),
        ("sku=A,name=Tea: green,price=1.00,quantity=2", "Tea: green"),
        ('A:12" ruler:1.00:2', '12" ruler'),
        ('A:"Best" tea:1.00:2', '"Best" tea'),
        (r"A:C\D:1.00:2", r"C\D"),
        (r"A:C\\:1.00:2", "C\\"),
        ("A:a=b, c:1.00:2", "a=b, c"),
        ("A:[/red]:1.00:2", "[/red]"),
    ],
)
def test_any_product_name_can_be_given(text: str, name: str) -> None:
    line = new_line(text, "EUR")
    assert (line.sku, line.product_name, line.unit_price.units, line.quantity) == ("A", name, 1, 2)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "SKU:NAME:PRICE"),
        ("BELL", "SKU:NAME:PRICE"),
        ("BELL:Bell", "SKU:NAME:PRICE"),
        ("BELL:Bell:1:1:1:1:1", "a colon in a name"),
        ("A:Tea: green:1.00:2", "a colon in a name"),
        ("BELL:Bell:x", "PRICE"),
        ("BELL:Bell:", "PRICE"),
        ("BELL:Bell:1,50", "point"),
        ("BELL:Bell:١٢", "digits 0 to 9"),
        ("BELL:Bell:1_000", "digits 0 to 9"),
        ("BELL:Bell:1e3", "digits 0 to 9"),
        ("BELL:Bell:NaN", "PRICE"),
        ("BELL:Bell:Infinity", "PRICE"),
        ("BELL:Bell:" + "9" * 5_000, "too large"),
        ("BELL:Bell:1:x", "QUANTITY"),
        ("BELL:Bell:1:19%", "QUANTITY: '19%'"),
        ("BELL:Bell:1:١", "QUANTITY"),
        ("BELL:Bell:1:1.5", "QUANTITY"),
        ("BELL:Bell:1:99999999999", "too large"),
        ("BELL:Bell:1:1:7,7%", "DISCOUNT%: '7,7%'"),
        ("BELL:Bell:1:1:five", "DISCOUNT%"),
        ("BELL:Bell:1:1:0:19 %", "TAX%: '19 %'"),
        ("BELL:Bell:1:1:0:%", "TAX%"),
        ("BELL:Bell:1:1:0.001", "hundredth of a percent"),
        ("sku=BELL,price=1", "name is missing"),
        ("sku=BELL,sku=B,name=Bell,price=1", "twice"),
        ("sku=BELL,name=Bell,price=1,colour=red", "'colour=red'"),
        ("sku=BELL,name=Bell,price=one", "PRICE: 'one'"),
    ],
)
def test_a_wrong_line_is_named(text: str, named: str) -> None:
    with pytest.raises(WrongWord) as error:
        new_line(text, "EUR")
    assert named in str(error.value)


@pytest.mark.parametrize("text", ["", "-", ".", "5.", "1,000", "1 000", "１２", "+5", "0x10", "1.0000000001", "9" * 20])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(WrongWord, match="AMOUNT"):
        money(text, "EUR", "AMOUNT")


@pytest.mark.parametrize("text", ["1", "1:", ":1", "a:1", "1:b", "1:-1", "١:٢", "1:1:1", "1_0:1", "1:99999999999"])
def test_a_wrong_item_is_named(text: str) -> None:
    with pytest.raises(WrongWord, match="--item"):
        line_quantity(text)


def test_numbers_are_read() -> None:
    assert (whole_number("12", "N"), whole_number("-3", "N")) == (12, -3)
    assert (basis_points("19", "T"), basis_points("2.50%", "T"), basis_points("-1%", "T")) == (1_900, 250, -100)
    assert (line_quantity("1:2").line_number, line_quantity("1:2").quantity) == (1, 2)
    assert money(".5", "EUR", "A") == Money(currency_code="EUR", nanos=500_000_000)


@given(st.integers(-(10**15), 10**15), st.integers(0, 999_999_999))
def test_money_is_exact(units: int, nanos: int) -> None:
    sign = "-" if units < 0 else ""
    value = money(f"{sign}{abs(units)}.{nanos:09d}", "EUR", "--freight")
    assert value.units == units
    assert value.nanos == (-nanos if units < 0 else nanos)


@given(st.text())
def test_any_word_is_read_or_named(text: str) -> None:
    for read in (lambda: new_line(text, "EUR"), lambda: line_quantity(text), lambda: money(text, "EUR", "AMOUNT")):
        with contextlib.suppress(WrongWord):
            read()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Money(currency_code="EUR", units=1234, nanos=500_000_000), "1,234.50 EUR"),
        (Money(currency_code="JPY", units=300), "300 JPY"),
        (Money(currency_code="JPY"), "0 JPY"),
        (Money(currency_code="KWD"), "0.000 KWD"),
        (Money(currency_code="KWD", units=10, nanos=5_000_000), "10.005 KWD"),
        (Money(currency_code="CLF", units=1), "1.0000 CLF"),
        (Money(currency_code="ISK", units=1_234_567), "1,234,567 ISK"),
        (Money(currency_code="EUR", units=-1, nanos=-5_000_000), "-1.005 EUR"),
        (Money(currency_code="JPY", nanos=500_000_000), "0.5 JPY"),
        (Money(currency_code="EUR", units=10**15), "1,000,000,000,000,000.00 EUR"),
    ],
)
def test_money_has_the_digits_of_its_currency(value: Money, text: str) -> None:
    assert amount(value) == text
