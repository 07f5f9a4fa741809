"""The one table of what questions must look like: request → field path → what its value must be.

Every field of every request that is served stands here, also those of which any value will do; a test compares the
table with the contract. All that is wrong with a request is said at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from tandem.orders.errors import FieldViolation
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.handlers.grpc.list_rules import (
    CUSTOMER_ID,
    FILTER,
    MAX_DIMENSIONS,
    MAX_GROUPS_RULE,
    ONE_CURRENCY,
    PAGE_SIZE,
    PAGE_TOKEN,
    PERCENTILES,
    SORT,
    dimensions,
)
from query_service.handlers.grpc.rules import ANY, NANOS, Relation, Rule, absent_or, is_time, is_uuid

MAX_WAIT_SECONDS = 5
#: 64 orders take less than half of it.
MAX_TOKEN_LENGTH = 8192
MAX_BATCH = 200


class InvalidRequest(Exception):  # noqa: N818 - says what happened
    """Fields are missing or wrong; `violations` name each."""

    def __init__(self, violations: list[FieldViolation]) -> None:
        first, *others = violations
        rest = f", and {len(others)} more fields are wrong" if len(others) > 1 else ", and another field is wrong"
        super().__init__(f"{first.field} {first.description}{rest if others else ''}".lstrip())
        self.violations = violations


def _is_wait(duration: Any) -> bool:
    nanos: int = duration.seconds * NANOS + duration.nanos
    return duration.nanos in range(NANOS) and 0 <= nanos <= MAX_WAIT_SECONDS * NANOS


_ORDER_ID = Rule("must be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b", is_uuid)
_READ_OPTIONS: Mapping[str, Rule] = {
    "read_options.consistency_token": Rule(
        f"must be a token from an answer, at most {MAX_TOKEN_LENGTH} characters",
        absent_or(lambda value: len(value) <= MAX_TOKEN_LENGTH),
    ),
    "read_options.max_wait": Rule(f"must be within 0 s and {MAX_WAIT_SECONDS} s", absent_or(_is_wait)),
    "read_options.on_timeout": Rule(
        "must be FAIL or RETURN_STALE", absent_or(lambda value: value in contract.OnTimeout.values())
    ),
}

REQUEST_RULES: Mapping[str, Mapping[str, Rule]] = {
    contract.GetOrderRequest.DESCRIPTOR.full_name: {
        "order_id": _ORDER_ID,
        **_READ_OPTIONS,
        "version": Rule("must be 1 or more", absent_or(lambda value: value >= 1)),
        "read_time": Rule("must be a time within the years 1 to 9999", absent_or(is_time)),
    },
    contract.BatchGetOrdersRequest.DESCRIPTOR.full_name: {
        "order_ids": Rule(
            f"must be 1 to {MAX_BATCH} UUIDs", lambda ids: 1 <= len(ids) <= MAX_BATCH and all(map(is_uuid, ids))
        ),
        **_READ_OPTIONS,
    },
    contract.SearchOrdersRequest.DESCRIPTOR.full_name: {
        **FILTER,
        "sort": SORT,
        "page_size": PAGE_SIZE,
        "page_token": PAGE_TOKEN,
        "facets": dimensions(0, len(contract.OrderDimension.values()) - 1),
        **_READ_OPTIONS,
    },
    contract.GetOrderHistoryRequest.DESCRIPTOR.full_name: {
        "order_id": _ORDER_ID,
        "page_size": PAGE_SIZE,
        "page_token": PAGE_TOKEN,
        **_READ_OPTIONS,
    },
    contract.SummarizeOrdersRequest.DESCRIPTOR.full_name: {
        **FILTER,
        "group_by": dimensions(1, MAX_DIMENSIONS),
        "include_cancelled": ANY,
        "percentiles": PERCENTILES,
        "max_groups": MAX_GROUPS_RULE,
        **_READ_OPTIONS,
    },
    contract.GetCustomerSummaryRequest.DESCRIPTOR.full_name: {"customer_id": CUSTOMER_ID, **_READ_OPTIONS},
    contract.GetReadModelStatusRequest.DESCRIPTOR.full_name: {},
}
#: Request → what its fields must be to each other.
RELATIONS: Mapping[str, tuple[Relation, ...]] = {
    contract.SearchOrdersRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
    contract.SummarizeOrdersRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
}


def validate(request: Message) -> None:
    """Raises InvalidRequest naming every field that is not as the table demands."""
    violations = list(_violations(request))
    if violations:
        raise InvalidRequest(violations)


def _violations(request: Message) -> Iterator[FieldViolation]:
    name = request.DESCRIPTOR.full_name
    if (checks := _CHECKS.get(name)) is None:
        checks = _CHECKS[name] = _checks(type(request)())
    given = dict(_given(request, checks))
    for path, (rule, need_not_be_given) in checks.items():
        holds = rule.holds(given[path]) if path in given else need_not_be_given
        if not holds:
            yield FieldViolation(path, rule.demands)
    for relation in RELATIONS.get(name, ()):
        if not relation.holds(request):
            yield FieldViolation(relation.field, relation.demands)


#: Path → rule, and whether it holds for a request that does not give the field. Most give few of theirs.
_Checks = Mapping[str, tuple[Rule, bool]]
#: Request → what `REQUEST_RULES` says of it; made when it is needed the first time.
_CHECKS: dict[str, _Checks] = {}


def _checks(empty: Message) -> _Checks:
    rules = REQUEST_RULES[empty.DESCRIPTOR.full_name]
    return {path: (rule, rule.holds(_value(empty, path))) for path, rule in rules.items()}


def _given(message: Message, checks: _Checks, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of every field that is not absent, nor what it is when nobody gives it."""
    for field, value in message.ListFields():
        path = prefix + field.name
        if path in checks:
            yield path, value
        else:
            yield from _given(value, checks, f"{path}.")


def _value(message: Any, path: str) -> Any:
    """The value at the end of a path; None when it, or a message it stands in, is absent."""
    for name in path.split("."):
        if message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name):
            return None
        message = getattr(message, name)
    return message
