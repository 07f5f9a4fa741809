"""Converts money into whole minor units, so that stores can add and compare it exactly."""

from __future__ import annotations

from tandem.orders import minor_units as conversion
from tandem.orders.minor_units import EXPONENTS

#: `nanos` of a `google.type.Money` in one of its units.
NANOS_PER_UNIT: int = conversion.NANOS_PER_UNIT
#: Parts of a unit that every minor unit is a whole number of.
FINEST_PARTS: int = 10 ** max(EXPONENTS.values())


def exponent_of(currency_code: str) -> int:
    """Returns the decimal places of the currency's minor unit; 2 for every code that is no exception."""
    return EXPONENTS.get(currency_code, 2)


def finest_parts(amount: int, currency_code: str) -> int:
    """Returns minor units as ten-thousandths of a unit, by which amounts of any currency are ranked."""
    parts: int = FINEST_PARTS // 10 ** exponent_of(currency_code)
    return amount * parts


def minor_units(units: int, nanos: int, currency_code: str) -> int:
    """Returns the amount in minor units. Raises ValueError if it is finer than the currency or its signs differ."""
    if abs(nanos) >= NANOS_PER_UNIT or units * nanos < 0:
        raise ValueError(f"units {units} with nanos {nanos} is no amount")
    try:
        return conversion.from_units(units, nanos, exponent_of(currency_code))
    except conversion.FinerThanCurrency:
        raise ValueError(f"nanos {nanos} is finer than {currency_code} allows") from None


def units_and_nanos(amount: int, currency_code: str) -> tuple[int, int]:
    """Returns the amount as whole units and billionths, both with its sign."""
    return conversion.to_units(amount, exponent_of(currency_code))
