"""Computes with amounts: integers of a currency's minor unit, rounded in only two places.

An order has one currency, so inside an order an amount is a plain `int` of minor units. `Money` also carries the
currency, as commands give it. The contract's form is `units` (whole currency units) and `nanos` (10⁻⁹ of one).
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.orders import minor_units as conversion
from tandem.orders.minor_units import EXPONENTS

BASIS_POINTS = 10_000
#: No amount is larger, in minor units. Sums of many stay exact in 64 bits, each alone exact in a double.
MAX_AMOUNT = 10**15


class UnknownCurrency(ValueError):  # noqa: N818 - reads as what it is
    """No ISO 4217 currency with a minor unit has this code."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of a currency."""

    currency: str
    minor_units: int


def exponent_of(currency: str) -> int:
    """Decimal places of the currency's minor unit; raises UnknownCurrency."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency) from None


def from_units(currency: str, units: int, nanos: int) -> Money:
    """Converts exactly from the contract's form. Raises UnknownCurrency and FinerThanCurrency.

    `units` and `nanos` have the same sign, or one is zero.
    """
    return Money(currency, conversion.from_units(units, nanos, exponent_of(currency)))


def to_units(money: Money) -> tuple[int, int]:
    """Returns `(units, nanos)` of an amount, both with its sign."""
    return conversion.to_units(money.minor_units, exponent_of(money.currency))


def decimal_text(money: Money) -> str:
    """Returns the amount for people: `12.50 EUR`."""
    places = exponent_of(money.currency)
    sign = "-" if money.minor_units < 0 else ""
    digits = str(abs(money.minor_units)).zfill(places + 1)
    whole, fraction = (digits[:-places], "." + digits[-places:]) if places else (digits, "")
    return f"{sign}{whole}{fraction} {money.currency}"


def half_even(numerator: int, denominator: int) -> int:
    """Returns `numerator / denominator` (above zero), rounded to the nearest integer, ties to the even one."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient


def line_net(unit_price: int, pieces: int, discount_basis_points: int) -> int:
    """Returns the net amount of so many pieces after discount, rounded once."""
    return half_even(unit_price * pieces * (BASIS_POINTS - discount_basis_points), BASIS_POINTS)


def tax_on(net: int, tax_rate_basis_points: int) -> int:
    """Returns the tax on a net amount, rounded once."""
    return half_even(net * tax_rate_basis_points, BASIS_POINTS)
