"""Computes with amounts, which are integers of a currency's minor unit. Only `line_net` and `tax_on` round.

An order has one currency, so inside an order an amount is a plain `int` of minor units. In a command an amount is a
`Money`, which also carries the currency. In the contract's messages an amount is `units` (whole currency units) and
`nanos` (10⁻⁹ of a unit).
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.orders import minor_units as conversion
from tandem.orders.minor_units import EXPONENTS

BASIS_POINTS = 10_000
#: The largest amount, in minor units. So sums of many amounts fit into 64 bits, and a double holds one amount exactly.
MAX_AMOUNT = 10**15


class UnknownCurrency(ValueError):  # noqa: N818 - reads as what it is
    """The code is not that of an ISO 4217 currency with a minor unit."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of a currency."""

    currency: str
    minor_units: int


def exponent_of(currency: str) -> int:
    """Returns the number of decimal places of the currency's minor unit. Raises UnknownCurrency."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(currency) from None


def from_units(currency: str, units: int, nanos: int) -> Money:
    """Converts the contract's `units` and `nanos` exactly. They must have the same sign, or one is zero.

    Raises UnknownCurrency, and FinerThanCurrency when the amount has more decimal places than the currency.
    """
    return Money(currency, conversion.from_units(units, nanos, exponent_of(currency)))


def to_units(money: Money) -> tuple[int, int]:
    """Returns the amount as `(units, nanos)`. Both have the sign of the amount. Raises UnknownCurrency."""
    return conversion.to_units(money.minor_units, exponent_of(money.currency))


def decimal_text(money: Money) -> str:
    """Returns the amount as text for people, for example `12.50 EUR`."""
    places = exponent_of(money.currency)
    sign = "-" if money.minor_units < 0 else ""
    digits = str(abs(money.minor_units)).zfill(places + 1)
    whole, fraction = (digits[:-places], "." + digits[-places:]) if places else (digits, "")
    return f"{sign}{whole}{fraction} {money.currency}"


def half_even(numerator: int, denominator: int) -> int:
    """Returns `numerator / denominator` as the nearest integer, or the even one of two. `denominator` is above zero."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient


def line_net(unit_price: int, pieces: int, discount_basis_points: int) -> int:
    """Returns the net price of `pieces` pieces after discount, rounded half to even."""
    return half_even(unit_price * pieces * (BASIS_POINTS - discount_basis_points), BASIS_POINTS)


def tax_on(net: int, tax_rate_basis_points: int) -> int:
    """Returns the tax on a net amount, rounded half to even."""
    return half_even(net * tax_rate_basis_points, BASIS_POINTS)
