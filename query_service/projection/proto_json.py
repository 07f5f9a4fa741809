"""Reads values from ProtoJSON as the write side records it: int64 as text, absent fields for defaults.

Each function raises ProjectionError (MALFORMED) naming the field, for anything that the contract does not allow.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from query_service.projection.currency import NANOS_PER_UNIT, exponent_of, minor_units
from query_service.projection.errors import ProjectionError, Unprojectable

Object = Mapping[str, Any]
#: Reads a field that is an amount.
Money = Callable[[Object, str], int | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT64 = 2**63
#: Of the largest 64 bit integer.
_DIGITS = 19
_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def malformed(field: str, problem: str) -> ProjectionError:
    """Returns the error for a field that violates the contract."""
    return ProjectionError(Unprojectable.MALFORMED, f"{field}: {problem}")


def text(source: Object, field: str) -> str:
    """A string; "" when absent."""
    value = source.get(field, "")
    if not isinstance(value, str):
        raise malformed(field, "is no text")
    return value


def integer(source: Object, field: str) -> int:
    """A 32 or 64 bit integer; 0 when absent."""
    value = source.get(field, 0)
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise malformed(field, "is no integer") from None
    if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < _INT64:
        raise malformed(field, "is no integer")
    return value


def flag(source: Object, field: str) -> bool:
    """A boolean; False when absent."""
    value = source.get(field, False)
    if not isinstance(value, bool):
        raise malformed(field, "is neither true nor false")
    return value


def enum(source: Object, field: str, prefix: str) -> str:
    """An enum value's name without its prefix; UNSPECIFIED when absent."""
    value = text(source, field) or f"{prefix}UNSPECIFIED"
    if not value.startswith(prefix):
        raise malformed(field, f"does not begin with {prefix}")
    return value[len(prefix) :]


def message(source: Object, field: str) -> Object | None:
    """A nested message; None when absent."""
    value = source.get(field)
    if value is not None and not isinstance(value, dict):
        raise malformed(field, "is no object")
    return value


def messages(source: Object, field: str) -> list[Object]:
    """A list of messages; empty when absent."""
    value = source.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise malformed(field, "is no list of objects")
    return value


def texts(source: Object, field: str) -> list[str]:
    """A list of strings; empty when absent."""
    value = source.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise malformed(field, "is no list of texts")
    return value


def timestamp(source: Object, field: str) -> int | None:
    """A `google.protobuf.Timestamp` in microseconds since 1970, finer digits cut; None when absent."""
    value = source.get(field)
    return None if value is None else microseconds(value, field)


def microseconds(value: Any, field: str) -> int:
    """An RFC 3339 time in microseconds since 1970, finer digits cut."""
    try:
        moment = datetime.fromisoformat(value)
        return (moment - _EPOCH) // _MICROSECOND
    except (TypeError, ValueError):
        raise malformed(field, "is no time with an offset") from None


def moment(microseconds_since_epoch: int) -> datetime:
    """The time at that many microseconds since 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds_since_epoch)


@functools.lru_cache(maxsize=256)
def money_in(currency_code: str) -> Money:
    """Returns a function that reads a `google.type.Money` of that currency as minor units; None if absent."""
    scale: int = 10 ** exponent_of(currency_code)
    nanos_per_minor_unit = NANOS_PER_UNIT // scale

    def money(source: Object, field: str) -> int | None:
        value = source.get(field)
        if value is None:
            return None
        if type(value) is dict and value.get("currencyCode", "") == currency_code:
            units, nanos = value.get("units", "0"), value.get("nanos", 0)
            if type(units) is str and units.isdecimal() and len(units) < _DIGITS and type(nanos) is int:
                minor, rest = divmod(nanos, nanos_per_minor_unit)
                if not rest and 0 <= minor < scale:  # as good as always, and said at once
                    return int(units) * scale + minor
        return _money(source, field, currency_code)

    return money


def _money(source: Object, field: str, currency_code: str) -> int | None:
    value = message(source, field)
    if value is None:
        return None
    if value.get("currencyCode", "") != currency_code:
        raise malformed(field, f"is not in {currency_code or 'the currency of the order, which names none'}")
    try:
        return minor_units(integer(value, "units"), integer(value, "nanos"), currency_code)
    except ValueError as error:
        raise malformed(field, str(error)) from None


def identifier(value: str, field: str) -> str:
    """A UUID in its canonical text form."""
    if _CANONICAL.fullmatch(value):  # as good as always, and said at once
        return value
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise malformed(field, "is no UUID") from None
