"""Amounts on the read side: minor units and back, with each currency's own exponent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.projection.currency import exponent_of, minor_units, units_and_nanos

CODES = st.sampled_from(["EUR", "USD", "JPY", "BHD", "CLF", "XXX"])


@given(st.integers(-(10**15), 10**15), CODES)
def test_minor_units_come_back(amount: int, code: str) -> None:
    units, nanos = units_and_nanos(amount, code)
    assert minor_units(units, nanos, code) == amount
    assert units * nanos >= 0


@pytest.mark.parametrize(
    ("units", "nanos", "code", "amount"),
    [(12, 500_000_000, "EUR", 1250), (-3, -10_000_000, "USD", -301), (0, -10_000_000, "USD", -1), (7, 0, "JPY", 7)],
)
def test_amounts(units: int, nanos: int, code: str, amount: int) -> None:
    assert minor_units(units, nanos, code) == amount
    assert units_and_nanos(amount, code) == (units, nanos)


def test_exponents_differ() -> None:
    assert [exponent_of(code) for code in ("JPY", "EUR", "KWD", "UYW")] == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("units", "nanos", "code"),
    [(1, 1, "EUR"), (1, 10_000_000, "JPY"), (1, -1, "EUR"), (-1, 1, "EUR"), (0, 10**9, "EUR")],
)
def test_what_is_no_amount_is_refused(units: int, nanos: int, code: str) -> None:
    with pytest.raises(ValueError):
        minor_units(units, nanos, code)
