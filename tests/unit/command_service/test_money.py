"""Amounts are exact, rounding is half to even and happens once, every currency has the places ISO 4217 gives it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.minor_units import EXPONENTS, NANOS_PER_UNIT, FinerThanCurrency

from command_service.domain.money import (
    MAX_AMOUNT,
    Money,
    UnknownCurrency,
    decimal_text,
    from_units,
    half_even,
    line_net,
    tax_on,
    to_units,
)

currencies = st.sampled_from(sorted(EXPONENTS))
amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT)


@given(currencies, amounts)
def test_units_and_nanos_hold_every_amount(currency: str, minor_units: int) -> None:
    units, nanos = to_units(Money(currency, minor_units))
    assert abs(nanos) < NANOS_PER_UNIT
    assert units * nanos >= 0
    assert from_units(currency, units, nanos) == Money(currency, minor_units)
    assert Decimal(units) + Decimal(nanos).scaleb(-9) == Decimal(minor_units).scaleb(-EXPONENTS[currency])


@given(currencies, st.integers(-(10**12), 10**12), st.integers(0, NANOS_PER_UNIT - 1))
def test_what_is_finer_than_the_currency_is_refused_and_nothing_else(currency: str, units: int, nanos: int) -> None:
    exact = Decimal(nanos).scaleb(-9 + EXPONENTS[currency]) % 1 == 0
    if exact:
        assert decimal_text(from_units(currency, units, nanos))
    else:
        with pytest.raises(FinerThanCurrency):
            from_units(currency, units, nanos)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**6))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    quotient, rest = divmod(numerator, denominator)
    rounded = half_even(numerator, denominator)
    assert abs(rounded * denominator - numerator) * 2 <= denominator
    if 2 * rest == denominator:
        assert rounded % 2 == 0
    assert rounded in (quotient, quotient + 1)


@given(st.integers(0, MAX_AMOUNT), st.integers(1, 1_000_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_lines_are_rounded_once(unit_price: int, pieces: int, discount: int, tax_rate: int) -> None:
    net = line_net(unit_price, pieces, discount)
    assert net == round(unit_price * pieces * (1 - Fraction(discount, 10_000)))  # Python rounds fractions half to even
    assert tax_on(net, tax_rate) == round(net * Fraction(tax_rate, 10_000))


@pytest.mark.parametrize(
    ("unit_price", "pieces", "discount", "net"),
    [
        (5, 1, 5_000, 2),  # 2.5 to the even side
        (7, 1, 5_000, 4),  # 3.5
        (1, 1, 5_001, 0),
        (1, 1, 4_999, 1),
        (1_99, 3, 500, 5_67),
        (0, 9, 0, 0),
        (1_00, 1, 10_000, 0),
    ],
)
def test_rounding_by_hand(unit_price: int, pieces: int, discount: int, net: int) -> None:
    assert line_net(unit_price, pieces, discount) == net


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("EUR", 1250), "12.50 EUR"),
        (Money("EUR", -5), "-0.05 EUR"),
        (Money("JPY", 1250), "1250 JPY"),
        (Money("KWD", 1), "0.001 KWD"),
        (Money("CLF", 12345), "1.2345 CLF"),
    ],
)
def test_amounts_read_as_people_write_them(money: Money, text: str) -> None:
    assert decimal_text(money) == text


def test_currencies_are_known_by_code_only() -> None:
    assert all(len(code) == 3 and code.isupper() for code in EXPONENTS)
    assert set(EXPONENTS.values()) == {0, 2, 3, 4}
    for unknown in ("", "eur", "EURO", "XXX", "XAU", "dem"):
        with pytest.raises(UnknownCurrency):
            from_units(unknown, 1, 0)
