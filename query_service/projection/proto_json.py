"""Reads values from ProtoJSON.

Each function raises ProjectionError (MALFORMED), which names the field, for a value that the contract does not allow.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from query_service.projection.errors import ProjectionError, Unprojectable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: In microseconds.
_SECOND, _DAY = 1_000_000, 86_400_000_000
_INT64 = 2**63
#: An integer of up to 64 bits as text.
DECIMAL = re.compile("-?[0-9]{1,19}")
_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def malformed(field: str, problem: str) -> ProjectionError:
    """Returns the error for a field that violates the contract."""
    return ProjectionError(Unprojectable.MALFORMED, f"{field}: {problem}")


def integer(value: str | int, field: str) -> int:
    """Returns a 64-bit integer, which is text in ProtoJSON."""
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        raise malformed(field, "is no integer")
    number = int(value)
    if not -_INT64 <= number < _INT64:
        raise malformed(field, "is no integer")
    return number


@lru_cache(maxsize=256)
def enum(value: str, field: str, prefix: str) -> str:
    """Returns an enum value's name without its prefix."""
    if not value.startswith(prefix):
        raise malformed(field, f"does not begin with {prefix}")
    return value[len(prefix) :]


def microseconds(value: Any, field: str) -> int:
    """Converts an RFC 3339 time to microseconds since 1970, truncated. `field` is for the error only."""
    try:
        return _microseconds(value)
    except (TypeError, ValueError):
        raise malformed(field, "is no time with an offset") from None


@lru_cache(maxsize=256)
def _microseconds(text: str) -> int:
    """Remembers the latest times, because most times of an event are the same."""
    since = datetime.fromisoformat(text) - _EPOCH
    return since.days * _DAY + since.seconds * _SECOND + since.microseconds


def moment(microseconds_since_epoch: int) -> datetime:
    """Converts microseconds since 1970 to a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds_since_epoch)


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
