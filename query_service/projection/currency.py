"""Converts amounts to and from whole minor units, which stores can add and compare exactly."""

from __future__ import annotations

from tandem.orders import minor_units as conversion
from tandem.orders.minor_units import EXPONENTS

#: The `nanos` in one unit of a `google.type.Money`.
NANOS_PER_UNIT: int = conversion.NANOS_PER_UNIT
#: How many parts a unit has when every minor unit is a whole number of parts: ten thousand.
FINEST_PARTS: int = 10 ** max(EXPONENTS.values())


def exponent_of(currency_code: str) -> int:
    """Returns the decimal places of the currency's minor unit; 2 for every code without an exception."""
    return EXPONENTS.get(currency_code, 2)


def finest_parts(amount: int, currency_code: str) -> int:
    """Converts minor units to ten-thousandths of a unit, by which amounts of different currencies are sorted."""
    parts: int = FINEST_PARTS // 10 ** exponent_of(currency_code)
    return amount * parts


def minor_units(units: int, nanos: int, currency_code: str) -> int:
    """Converts a Money's fields to minor units.

    Raises ValueError when the amount is finer than the currency allows, or `units` and `nanos` differ in sign.
    """
    if abs(nanos) >= NANOS_PER_UNIT or units * nanos < 0:
        raise ValueError(f"units {units} with nanos {nanos} is no amount")
    try:
        return conversion.from_units(units, nanos, exponent_of(currency_code))
    except conversion.FinerThanCurrency:
        raise ValueError(f"nanos {nanos} is finer than {currency_code} allows") from None


def units_and_nanos(amount: int, currency_code: str) -> tuple[int, int]:
    """Converts minor units to whole units and nanos, both with the amount's sign."""
    return conversion.to_units(amount, exponent_of(currency_code))
