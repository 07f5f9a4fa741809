"""The contract marks a field REQUIRED exactly where the services refuse a request that lacks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tandem.orders.v1 import order_command_service_pb2, order_query_service_pb2

from command_service.handlers import request_rules as command_rules
from query_service.handlers.grpc import request_rules as query_rules
from service_runtime.edge.field_checks import Check, text
from service_runtime.edge.request_validation import InvalidRequest, Validator
from tests.support.commands.complete_requests import complete, is_map

#: Messages that are not ours, so that nothing in them can be marked, and what is demanded of them nonetheless.
FOREIGN = {"google.type.PostalAddress": {"region_code"}}
WHOLE = {"google.type.Money", "google.protobuf.Timestamp", "google.protobuf.Duration"}
REQUEST_TYPES: dict[str, Descriptor] = {
    message.full_name: message
    for file in (order_command_service_pb2.DESCRIPTOR, order_query_service_pb2.DESCRIPTOR)
    for message in file.message_types_by_name.values()
}
Validate = Callable[[Any], None]
REQUESTS: list[tuple[str, Validate]] = [
    *((name, command_rules.validate) for name in command_rules.REQUEST_RULES),
    *((name, query_rules.validate) for name in query_rules.REQUEST_RULES),
]


def fields_of(message: Any, path: str = "") -> Iterator[tuple[str, FieldDescriptor, Any]]:
    """Path, field and owner of every field in the message, and in the first element of each list."""
    for field in message.DESCRIPTOR.fields:
        yield f"{path}{field.name}", field, message
        if field.message_type is not None and not is_map(field) and field.message_type.full_name not in WHOLE:
            inner = getattr(message, field.name)
            index = "[0]" if field.is_repeated else ""
            if not field.is_repeated or inner:
                yield from fields_of(inner[0] if field.is_repeated else inner, f"{path}{field.name}{index}.")


def is_marked(field: FieldDescriptor) -> bool:
    """Whether the contract says that the field is required."""
    owner = field.containing_type
    assert owner is not None
    if owner.full_name in FOREIGN:
        return field.name in FOREIGN[owner.full_name]
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def disagreements(name: str, validate: Validate) -> list[str]:
    """Paths of fields where the contract's mark and the service's demand differ."""
    request = complete(REQUEST_TYPES[name])
    validate(request)
    wrong = []
    for path, field, owner in fields_of(request):
        before = type(owner)()
        before.CopyFrom(owner)
        owner.ClearField(field.name)
        named: set[str] = set()
        try:
            validate(request)
        except InvalidRequest as refusal:
            named = {violation.field for violation in refusal.violations}
        if (path in named) != is_marked(field):
            wrong.append(path)
        owner.CopyFrom(before)
    return wrong


@pytest.mark.parametrize(("name", "validate"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_what_is_marked_is_demanded_and_nothing_else(name: str, validate: Validate) -> None:
    assert disagreements(name, validate) == []


@pytest.mark.mutant
@pytest.mark.parametrize(("field", "check"), [("method", text(40)), ("reference", text(200, required=True))])
def test_a_rule_that_says_otherwise_is_noticed(field: str, check: Check) -> None:
    name = order_command_service_pb2.RecordPaymentRequest.DESCRIPTOR.full_name
    rules: Any = {**command_rules.REQUEST_RULES, name: {**command_rules.REQUEST_RULES[name], field: check}}
    assert disagreements(name, Validator(rules, {})) == [field]
