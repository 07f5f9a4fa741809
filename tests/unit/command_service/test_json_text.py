"""The journal's text of a message is the one that the protobuf library gives, to the letter."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import SerializeToJsonError
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import RetryInfo
from google.type.latlng_pb2 import LatLng
from tandem.orders.v1 import order_events_pb2 as events

from command_service.wire.json_text import json_text
from tests.support.commands.complete_requests import is_map
from tests.support.commands.library_text import library_text
from tests.support.random_messages import random_message


@pytest.mark.parametrize("kind", [events.OrderEvent, events.OrderPersonalData])
def test_any_message_of_the_journal(kind: Any) -> None:
    source, compared = random.Random(7), 0
    while compared < 150:
        message = random_message(source, kind.DESCRIPTOR)
        try:
            expected = library_text(message)
        except SerializeToJsonError:  # a time beyond the year 9999
            with pytest.raises(ValueError):
                json_text(message)
            message = without_times(message)
            expected = library_text(message)
        assert json_text(message) == expected
        compared += 1


def without_times(message: Any) -> Any:
    """The message with each time set to a right one."""
    for field, value in message.ListFields():
        if field.message_type is None or is_map(field):
            continue
        for one in value if field.is_repeated else [value]:
            if field.message_type.full_name == "google.protobuf.Timestamp":
                one.seconds, one.nanos = 1_700_000_000, 120_000
            else:
                without_times(one)
    return message


@pytest.mark.parametrize(
    "message", [LatLng(latitude=1.5), RetryInfo(retry_delay=Duration(seconds=1)), Struct(fields={"a": Value()})]
)
def test_what_the_journal_does_not_know_is_refused(message: Any) -> None:
    with pytest.raises(TypeError, match="nothing in the journal"):
        json_text(message)
