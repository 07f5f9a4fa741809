"""Reads values from ProtoJSON, in which int64 is text and a field with its default value is absent.

Each function raises ProjectionError (MALFORMED), which names the field, for a value that the contract does not allow.
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
#: Reads an amount from a field, in minor units.
Money = Callable[[Object, str], int | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT64 = 2**63
#: The digits of the largest 64-bit integer.
_DIGITS = 19
_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def malformed(field: str, problem: str) -> ProjectionError:
    """Returns the error for a field that violates the contract."""
    return ProjectionError(Unprojectable.MALFORMED, f"{field}: {problem}")


def text(source: Object, field: str) -> str:
    """Returns a string; "" when absent."""
    value = source.get(field, "")
    if not isinstance(value, str):
        raise malformed(field, "is no text")
    return value


def integer(source: Object, field: str) -> int:
    """Returns a 32-bit or 64-bit integer; 0 when absent."""
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
    """Returns a boolean; False when absent."""
    value = source.get(field, False)
    if not isinstance(value, bool):
        raise malformed(field, "is neither true nor false")
    return value


def enum(source: Object, field: str, prefix: str) -> str:
    """Returns an enum value's name without its prefix; UNSPECIFIED when absent."""
    value = text(source, field) or f"{prefix}UNSPECIFIED"
    if not value.startswith(prefix):
        raise malformed(field, f"does not begin with {prefix}")
    return value[len(prefix) :]


def message(source: Object, field: str) -> Object | None:
    """Returns a nested message; None when absent."""
    value = source.get(field)
    if value is not None and not isinstance(value, dict):
        raise malformed(field, "is no object")
    return value


def messages(source: Object, field: str) -> list[Object]:
    """Returns a list of messages; empty when absent."""
    value = source.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise malformed(field, "is no list of objects")
    return value


def texts(source: Object, field: str) -> list[str]:
    """Returns a list of strings; empty when absent."""
    value = source.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise malformed(field, "is no list of texts")
    return value


def text_map(source: Object, field: str) -> Mapping[str, str]:
    """Returns a map of strings to strings; empty when absent."""
    value = source.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise malformed(field, "is no map of texts")
    return value


def timestamp(source: Object, field: str) -> int | None:
    """Returns a `google.protobuf.Timestamp` in microseconds since 1970, truncated; None when absent."""
    value = source.get(field)
    return None if value is None else microseconds(value, field)


def microseconds(value: Any, field: str) -> int:
    """Converts an RFC 3339 time to microseconds since 1970, truncated. `field` is for the error only."""
    try:
        moment = datetime.fromisoformat(value)
        return (moment - _EPOCH) // _MICROSECOND
    except (TypeError, ValueError):
        raise malformed(field, "is no time with an offset") from None


def moment(microseconds_since_epoch: int) -> datetime:
    """Converts microseconds since 1970 to a datetime in UTC."""
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
                if not rest and 0 <= minor < scale:  # the fast path, nearly always
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


def is_identifier(value: str) -> bool:
    """Returns whether a text is a UUID in its canonical form."""
    return _CANONICAL.fullmatch(value) is not None


def identifier(value: str, field: str) -> str:
    """Returns a UUID in its canonical text form."""
    if _CANONICAL.fullmatch(value):  # the fast path, nearly always
        return value
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise malformed(field, "is no UUID") from None
