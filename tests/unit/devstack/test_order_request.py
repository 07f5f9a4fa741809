"""Words on the command line become exact requests; words of the wrong form are named."""

from __future__ import annotations

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from devstack.cli.order_request import WrongLine, money, new_line
from devstack.cli.order_table import amount


def test_a_line_in_full() -> None:
    line = new_line("BELL:Bicycle bell:12.50:2:10%:21", "EUR")
    assert (line.sku, line.product_name, line.quantity) == ("BELL", "Bicycle bell", 2)
    assert line.unit_price == Money(currency_code="EUR", units=12, nanos=500_000_000)
    assert (line.discount_basis_points, line.tax_rate_basis_points) == (1_000, 2_100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("BELL:Bell:1", (1, 0, 0)), ("BELL:Bell:1:3", (3, 0, 0)), ("BELL:Bell:1:3:2.5%", (3, 250, 0))],
)
def test_what_is_left_out_has_a_default(text: str, expected: tuple[int, int, int]) -> None:
    line = new_line(text, "EUR")
    assert (line.quantity, line.discount_basis_points, line.tax_rate_basis_points) == expected


@pytest.mark.parametrize(
    "text", ["", "BELL", "BELL:Bell", "BELL:Bell:x", "BELL:Bell:1:x", "BELL:Bell:1:1:1:1:1", "BELL:Bell:1:1:0.001"]
)
def test_a_wrong_line_is_named(text: str) -> None:
    with pytest.raises(WrongLine):
        new_line(text, "EUR")


@given(st.integers(-(10**15), 10**15), st.integers(0, 999_999_999))
def test_money_is_exact(units: int, nanos: int) -> None:
    sign = "-" if units < 0 else ""
    value = money(f"{sign}{abs(units)}.{nanos:09d}", "EUR", "--freight")
    assert value.units == units
    assert value.nanos == (-nanos if units < 0 else nanos)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Money(currency_code="EUR", units=1234, nanos=500_000_000), "1,234.50 EUR"),
        (Money(currency_code="JPY", units=7), "7.00 JPY"),
        (Money(currency_code="EUR", units=-1, nanos=-5_000_000), "-1.005 EUR"),
    ],
)
def test_money_is_shown_in_full(value: Money, text: str) -> None:
    assert amount(value) == text
