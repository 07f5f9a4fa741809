"""The one table of what questions must look like: request → field path → what its value must be.

Every field of every request that is served stands here, also those of which any value will do; a test compares the
table with the contract. All that is wrong with a request is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from tandem.orders.errors import FieldViolation
from tandem.orders.v1 import order_query_service_pb2 as contract

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999
_NANOS = 1_000_000_000
MAX_WAIT_SECONDS = 5
#: 64 orders take less than half of it.
MAX_TOKEN_LENGTH = 8192


class InvalidRequest(Exception):  # noqa: N818 - says what happened
    """Fields are missing or wrong; `violations` name each."""

    def __init__(self, violations: list[FieldViolation]) -> None:
        fields = ", ".join(violation.field for violation in violations)
        super().__init__(f"the request is wrong in {fields}: {violations[0].field} {violations[0].description}")
        self.violations = violations


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field must be, in words that follow its name. `holds` gets the value, None when the field is absent."""

    demands: str
    holds: Callable[[Any], bool]


def _absent_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_wait(duration: Any) -> bool:
    nanos: int = duration.seconds * _NANOS + duration.nanos
    return duration.nanos in range(_NANOS) and 0 <= nanos <= MAX_WAIT_SECONDS * _NANOS


def _is_time(timestamp: Any) -> bool:
    seconds: int = timestamp.seconds
    return _FIRST_SECOND <= seconds <= _LAST_SECOND and timestamp.nanos in range(_NANOS)


_ORDER_ID = Rule(
    "must be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b", lambda value: _UUID.fullmatch(value) is not None
)
_READ_OPTIONS: Mapping[str, Rule] = {
    "read_options.consistency_token": Rule(
        f"must be a token from an answer, at most {MAX_TOKEN_LENGTH} characters",
        _absent_or(lambda value: len(value) <= MAX_TOKEN_LENGTH),
    ),
    "read_options.max_wait": Rule(f"must be within 0 s and {MAX_WAIT_SECONDS} s", _absent_or(_is_wait)),
    "read_options.on_timeout": Rule(
        "must be FAIL or RETURN_STALE", _absent_or(lambda value: value in contract.OnTimeout.values())
    ),
}

REQUEST_RULES: Mapping[str, Mapping[str, Rule]] = {
    contract.GetOrderRequest.DESCRIPTOR.full_name: {
        "order_id": _ORDER_ID,
        **_READ_OPTIONS,
        "version": Rule("must be 1 or more", _absent_or(lambda value: value >= 1)),
        "read_time": Rule("must be a time within the years 1 to 9999", _absent_or(_is_time)),
    },
}


def validate(request: Message) -> None:
    """Raises InvalidRequest naming every field that is not as the table demands."""
    violations = list(_violations(request))
    if violations:
        raise InvalidRequest(violations)


def _violations(request: Message) -> Iterator[FieldViolation]:
    for path, rule in REQUEST_RULES[request.DESCRIPTOR.full_name].items():
        if not rule.holds(_value(request, path)):
            yield FieldViolation(path, rule.demands)


def _value(message: Any, path: str) -> Any:
    """The value at a path; None when it, or a message it stands in, is absent."""
    for name in path.split("."):
        if message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name):
            return None
        message = getattr(message, name)
    return message
