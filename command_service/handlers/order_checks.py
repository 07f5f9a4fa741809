"""Checks request fields that hold a country code or an amount."""

from __future__ import annotations

from typing import Any

from tandem.orders.minor_units import EXPONENTS, NANOS_DIGITS, NANOS_PER_UNIT, WITHDRAWN_CURRENCIES

from command_service.domain.countries import COUNTRIES, WITHDRAWN_COUNTRIES
from command_service.domain.money import MAX_AMOUNT, decimal_text, from_units
from service_runtime.edge.field_checks import Check, Problems

_ALSO_WITHDRAWN = ", also a withdrawn one"


def region_code(*, withdrawn: bool) -> Check:
    """Returns a check for an ISO 3166-1 alpha-2 code or `XK`. With `withdrawn`, former countries are valid too."""
    known = COUNTRIES | WITHDRAWN_COUNTRIES if withdrawn else COUNTRIES
    gone = WITHDRAWN_COUNTRIES - known

    def problems(value: str) -> Problems:
        if value in known:
            return ()
        if not value:
            return (("", "is required"),)
        if value in gone:
            return (("", f"is {value}, which ISO 3166 has withdrawn; only imported orders may have it"),)
        return (("", "must be an ISO 3166-1 alpha-2 country code such as DE"),)

    return Check(f"an ISO 3166-1 alpha-2 country code{_ALSO_WITHDRAWN if withdrawn else ''}", problems)


def money(least: int, *, required: bool, withdrawn: bool = True) -> Check:
    """Returns a check for an amount of at least `least` minor units in a known currency.

    The amount may not have more decimal places than the currency. With `withdrawn`, former currencies are valid too.
    Commands on an existing order accept these, because imported orders may have them. The domain checks that an order
    has only one currency.
    """

    def problems(value: Any) -> Problems:
        if value is None:
            return (("", "is required"),) if required else ()
        currency = value.currency_code
        if currency not in EXPONENTS:
            return (("currency_code", "must be an ISO 4217 currency code such as EUR"),)
        if currency in WITHDRAWN_CURRENCIES and not withdrawn:
            return (("currency_code", f"is {currency}, which ISO 4217 has withdrawn; only imported orders have it"),)
        return _wrong_amount(currency, value.units, value.nanos, least)

    size = f"{'an' if required else 'absent or an'} amount {'above' if least else 'of at least'} zero"
    return Check(f"{size}{_ALSO_WITHDRAWN if withdrawn else ''}", problems)


def _wrong_amount(currency: str, units: int, nanos: int, least: int) -> Problems:
    if abs(nanos) >= NANOS_PER_UNIT:
        return (("nanos", f"is {nanos}, must be within ±999999999"),)
    if units * nanos < 0:
        return (("nanos", "must have the sign of units"),)
    places = EXPONENTS[currency]
    if nanos % 10 ** (NANOS_DIGITS - places):
        return (("nanos", f"is finer than {currency}, which has {places} decimal places"),)
    amount = from_units(currency, units, nanos)
    if amount.minor_units < least:
        return (("", f"is {decimal_text(amount)}, must be {'above zero' if least > 0 else 'zero or more'}"),)
    if amount.minor_units > MAX_AMOUNT:
        return (("", f"is {decimal_text(amount)}, at most 10^15 minor units are allowed"),)
    return ()
