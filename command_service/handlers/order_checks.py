"""Checks request fields that hold a country code or an amount."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tandem.orders.minor_units import EXPONENTS, NANOS_DIGITS, NANOS_PER_UNIT, WITHDRAWN_CURRENCIES

from command_service.domain.countries import COUNTRIES, WITHDRAWN_COUNTRIES
from command_service.domain.money import MAX_AMOUNT, decimal_text, from_units
from service_runtime.edge.field_checks import Check

Problems = Iterator[tuple[str, str]]
_ALSO_WITHDRAWN = ", also a withdrawn one"


def region_code(*, withdrawn: bool) -> Check:
    """Returns a check for an ISO 3166-1 alpha-2 code or `XK`. With `withdrawn`, former countries are valid too."""
    known = COUNTRIES | WITHDRAWN_COUNTRIES if withdrawn else COUNTRIES
    gone = WITHDRAWN_COUNTRIES - known

    def problems(value: str) -> Problems:
        if not value:
            yield "", "is required"
        elif value in gone:
            yield "", f"is {value}, which ISO 3166 has withdrawn; only imported orders may have it"
        elif value not in known:
            yield "", "must be an ISO 3166-1 alpha-2 country code such as DE"

    return Check(f"an ISO 3166-1 alpha-2 country code{_ALSO_WITHDRAWN if withdrawn else ''}", problems)


def money(least: int, *, required: bool, withdrawn: bool = True) -> Check:
    """Returns a check for an amount of at least `least` minor units in a known currency.

    The amount may not have more decimal places than the currency. With `withdrawn`, former currencies are valid too.
    Commands on an existing order accept these, because imported orders may have them. The domain checks that an order
    has only one currency.
    """

    def problems(value: Any) -> Problems:
        if value is None:
            if required:
                yield "", "is required"
            return
        if value.currency_code not in EXPONENTS:
            yield "currency_code", "must be an ISO 4217 currency code such as EUR"
            return
        if value.currency_code in WITHDRAWN_CURRENCIES and not withdrawn:
            yield (
                "currency_code",
                f"is {value.currency_code}, which ISO 4217 has withdrawn; only imported orders have it",
            )
            return
        yield from _wrong_amount(value, least)

    size = f"{'an' if required else 'absent or an'} amount {'above' if least else 'of at least'} zero"
    return Check(f"{size}{_ALSO_WITHDRAWN if withdrawn else ''}", problems)


def _wrong_amount(value: Any, least: int) -> Problems:
    if abs(value.nanos) >= NANOS_PER_UNIT:
        yield "nanos", f"is {value.nanos}, must be within ±999999999"
    elif value.units * value.nanos < 0:
        yield "nanos", "must have the sign of units"
    elif value.nanos % 10 ** (NANOS_DIGITS - EXPONENTS[value.currency_code]):
        places = EXPONENTS[value.currency_code]
        yield "nanos", f"is finer than {value.currency_code}, which has {places} decimal places"
    else:
        amount = from_units(value.currency_code, value.units, value.nanos)
        if amount.minor_units < least:
            yield "", f"is {decimal_text(amount)}, must be {'above zero' if least > 0 else 'zero or more'}"
        elif amount.minor_units > MAX_AMOUNT:
            yield "", f"is {decimal_text(amount)}, at most 10^15 minor units are allowed"
