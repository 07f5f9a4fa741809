"""Writes messages of the contract as JSON documents, in the one style of the command line.

Field names as in the contract (`order_id`), integers as numbers, times in UTC with a Z, durations as in ProtoJSON
(`0.734s`), names of enum values, and explicit defaults. Every ProtoJSON parser reads it.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def answer_document(message: Message) -> dict[str, Any]:
    """Returns the message as a document, without messages and optional fields that are not set."""
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            document[field.name] = dict(sorted(value.items()))
        elif field.is_repeated:
            document[field.name] = [_value(field, one) for one in value]
        elif not field.has_presence or message.HasField(field.name):
            document[field.name] = _value(field, value)
    return document


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp | Duration):
        return value.ToJsonString()
    if isinstance(value, Message):
        special = value.DESCRIPTOR.full_name.startswith("google.protobuf.")
        return MessageToDict(value) if special else answer_document(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
