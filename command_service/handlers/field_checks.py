"""Checks of single request fields. A check gets a field's value, None when it is absent, and says what is wrong.

What it says are pairs (subfield, sentence): the subfield is empty for the field itself, else it names the part of a
composite value such as an amount.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

from command_service.domain.countries import COUNTRIES, WITHDRAWN_COUNTRIES
from command_service.domain.currencies import EXPONENTS, WITHDRAWN_CURRENCIES
from command_service.domain.money import MAX_AMOUNT, NANOS_DIGITS, NANOS_PER_UNIT, decimal_text, from_units
from command_service.handlers.characters import forging, hidden, shows_something

Problems = Iterator[tuple[str, str]]
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NIL = "00000000-0000-0000-0000-000000000000"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_LEAST_SECONDS, _LARGEST_SECONDS = -62_135_596_800, 253_402_300_799  # years 1 to 9999
_ALSO_WITHDRAWN = ", also a withdrawn one"


@dataclass(frozen=True, slots=True)
class Check:
    """A check and what it demands, in words for the reference."""

    demands: str
    problems: Callable[[Any], Problems]
    #: Whether it looks at every part of a composite value, so that the parts need no checks of their own.
    whole: bool = True


def _always(_: Any) -> Problems:
    return iter(())


#: For fields of which any value the wire can carry is right.
ANY = Check("any value", _always)
#: For optional messages whose fields have checks of their own.
OPTIONAL = Check("may be absent", _always, whole=False)


def _required(value: Any) -> Problems:
    if value is None:
        yield "", "is required"


#: For messages that must be there and whose fields have checks of their own.
REQUIRED = Check("required", _required, whole=False)


def text(longest: int, *, required: bool = False) -> Check:
    """Free text of at most `longest` characters; when required, one of them at least can be seen."""

    def problems(value: str) -> Problems:
        if required and not shows_something(value):
            yield "", "is required"
        elif len(value) > longest:
            yield "", f"has {len(value)} characters, at most {longest} are allowed"
        elif character := forging(value):
            yield "", f"has the control character U+{ord(character):04X}"

    return Check(f"{'1' if required else '0'} to {longest} characters, no control characters", problems)


def identifier(longest: int, *, required: bool = False) -> Check:
    """What machines compare and people read: two that look equal are equal. Empty is right unless it is required."""

    def problems(value: str) -> Problems:
        if required and not shows_something(value):
            yield "", "is required"
        elif len(value) > longest:
            yield "", f"has {len(value)} characters, at most {longest} are allowed"
        elif character := hidden(value):
            yield "", f"has the character U+{ord(character):04X}, which cannot be seen; only plain spaces are allowed"
        elif value != value.strip(" "):
            yield "", "begins or ends with a space"
        elif value and unicodedata.category(value[0]).startswith("M"):
            yield "", f"begins with the combining character U+{ord(value[0]):04X}"
        elif not unicodedata.is_normalized("NFC", value):
            yield "", "is not in Unicode's composed form (NFC), so that it would differ from what looks the same"

    least = "1" if required else "0"
    return Check(f"{least} to {longest} visible characters in NFC, between them plain spaces", problems)


def uuid(*, required: bool) -> Check:
    """A UUID as 36 characters; the nil UUID is refused, as it is what a forgotten value looks like."""

    def problems(value: str) -> Problems:
        if not value:
            if required:
                yield "", "is required"
        elif not _UUID.fullmatch(value) or value == _NIL:
            yield "", "must be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b, and not the nil one"

    return Check("a UUID" if required else "empty or a UUID", problems)


def email(longest: int) -> Check:
    """Empty, or an address with something on both sides of an `@`."""
    plain = identifier(longest)

    def problems(value: str) -> Problems:
        yield from plain.problems(value)
        local, at, domain = value.rpartition("@")
        if value and not (local and at and domain):
            yield "", "must be an e-mail address"

    return Check(f"empty or an e-mail address of at most {longest} characters", problems)


def integer(least: int, largest: int) -> Check:
    """A whole number between two bounds; absent is right when the field can be absent."""

    def problems(value: int | None) -> Problems:
        if value is not None and not least <= value <= largest:
            yield "", f"is {value}, must be {least} to {largest}" if least < largest else f"is {value}, must be {least}"

    return Check(f"{least} to {largest}" if least < largest else f"absent or {least}", problems)


def count(least: int, largest: int) -> Check:
    """How many elements a repeated field has."""

    def problems(value: Sized) -> Problems:
        if not least <= len(value) <= largest:
            yield "", f"has {len(value)} elements, must have {least} to {largest}"

    return Check(f"{least} to {largest} elements", problems, whole=False)


def region_code(*, withdrawn: bool) -> Check:
    """An ISO 3166-1 alpha-2 code or `XK`; also one of a country of the past when `withdrawn` are right."""
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


def language_code() -> Check:
    """Empty, or a BCP 47 tag."""

    def problems(value: str) -> Problems:
        if value and (len(value) > 35 or not _LANGUAGE.fullmatch(value)):
            yield "", "must be a BCP 47 language tag such as de-AT"

    return Check("empty or a BCP 47 language tag", problems)


def money(least: int, *, required: bool, withdrawn: bool = True) -> Check:
    """An amount of at least `least` minor units in a known currency, no finer than its minor unit.

    Commands on an existing order take `withdrawn` currencies, as imported orders have them; the aggregate holds that an
    order has one currency.
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

    size = f"{'an' if required else 'absent or an'} amount {'above' if least else 'of at least'} zero"
    return Check(f"{size}{_ALSO_WITHDRAWN if withdrawn else ''}", problems)


def timestamp(*, required: bool) -> Check:
    """A time between the years 1 and 9999."""

    def problems(value: Any) -> Problems:
        if value is None:
            if required:
                yield "", "is required"
        elif not _LEAST_SECONDS <= value.seconds <= _LARGEST_SECONDS:
            yield "seconds", "must lie in the years 1 to 9999"
        elif not 0 <= value.nanos < NANOS_PER_UNIT:
            yield "nanos", "must be 0 to 999999999"

    return Check(f"{'a' if required else 'absent or a'} time, kept to the microsecond", problems)
