"""House rules of the contract that no linter knows: idempotency keys, tokens, and names of times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from tandem.orders.v1 import (
    error_reason_pb2,
    order_command_service_pb2,
    order_events_pb2,
    order_export_service_pb2,
    order_query_service_pb2,
    order_types_pb2,
)

from command_service.domain import events

FILES = [
    error_reason_pb2,
    order_command_service_pb2,
    order_events_pb2,
    order_export_service_pb2,
    order_query_service_pb2,
    order_types_pb2,
]
COMMANDS = order_command_service_pb2.DESCRIPTOR.services_by_name["OrderCommandService"]
QUERIES = order_query_service_pb2.DESCRIPTOR.services_by_name["OrderQueryService"]
NOT_ORDER_COMMANDS = {"ImportOrders", "RedactCustomer"}
#: The answer is itself about freshness, and asks for none.
STATUS = "GetReadModelStatus"
TIME_EXCEPTIONS = {"read_time", "as_of"}


def messages() -> Iterator[Descriptor]:
    """Every message of the contract."""
    for file in FILES:
        yield from file.DESCRIPTOR.message_types_by_name.values()


@pytest.mark.parametrize("method", list(COMMANDS.methods), ids=lambda method: method.name)
def test_a_command_carries_an_idempotency_key_and_answers_a_token(method: MethodDescriptor) -> None:
    request, response = method.input_type.fields_by_name, method.output_type.fields_by_name
    assert request["request_id"].number == 1
    assert "reason" in request
    assert "consistency_token" in response
    if method.name not in NOT_ORDER_COMMANDS:
        assert request["expected_version"].has_presence
        assert {"order", "version", "events"} <= set(response.keys())


@pytest.mark.parametrize(
    "method",
    [method for method in QUERIES.methods if not method.server_streaming and method.name != STATUS],
    ids=lambda method: method.name,
)
def test_a_query_takes_a_token_and_says_how_fresh_it_is(method: MethodDescriptor) -> None:
    assert "read_options" in method.input_type.fields_by_name
    assert "read_info" in method.output_type.fields_by_name


def test_the_answer_about_freshness_says_how_fresh_it_is() -> None:
    assert {"as_of", "staleness", "generation"} <= set(
        QUERIES.methods_by_name[STATUS].output_type.fields_by_name.keys()
    )


def test_timestamps_are_named_as_times() -> None:
    wrong = [
        field.full_name
        for message in messages()
        for field in message.fields
        if field.message_type is not None
        and field.message_type.full_name == "google.protobuf.Timestamp"
        and not field.name.endswith("_time")
        and field.name not in TIME_EXCEPTIONS
    ]
    assert wrong == []


def test_money_is_never_a_float() -> None:
    floats = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
    found = [field.full_name for message in messages() for field in message.fields if field.type in floats]
    assert found == [
        "tandem.orders.v1.SummarizeOrdersRequest.percentiles",
        "tandem.orders.v1.Percentile.percentile",
    ]


def test_an_event_type_exists_for_every_change() -> None:
    changes = {field.name.upper() for field in order_events_pb2.OrderEvent.DESCRIPTOR.oneofs_by_name["change"].fields}
    recorded = {event.event_type for event in get_args(events.Event)}
    assert recorded == changes
