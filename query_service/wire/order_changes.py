"""Computes the fields in which two states of an order differ, as the contract's `FieldChange`.

A field is identified by its path: `shipping_address.locality`, `lines[2].quantity`, `payments[pay-1]`, `labels[a]`. An
element of a list is identified by its own id, a label by its key. An element that appears or disappears is one change.
Applied to the earlier state, the changes give the later state. The version and the update time are left out, because
they always change and the event has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import Order

#: Messages that count as a single value.
_WHOLE = frozenset({"google.type.Money", "google.protobuf.Timestamp"})
_LEFT_OUT = frozenset({"version", "update_time"})
#: The field that identifies an element of a list, by message.
_ID_FIELDS = {
    "tandem.orders.v1.OrderLine": "line_number",
    "tandem.orders.v1.LineQuantity": "line_number",
    "tandem.orders.v1.Payment": "payment_id",
    "tandem.orders.v1.Shipment": "shipment_id",
    "tandem.orders.v1.Return": "return_id",
    "tandem.orders.v1.Refund": "refund_id",
}


def changes_between(before: Order | None, after: Order) -> list[contract.FieldChange]:
    """Returns every changed field, in the order of the contract. `before` is None when the order did not exist."""
    return [
        contract.FieldChange(field=path, old_value=old, new_value=new)
        for path, old, new in _message_changes("", before or Order(), after)
        if path not in _LEFT_OUT
    ]


_Change = tuple[str, str, str]


def _message_changes(prefix: str, before: Message, after: Message) -> Iterator[_Change]:
    for field in after.DESCRIPTOR.fields:
        path = f"{prefix}{field.name}"
        old, new = getattr(before, field.name), getattr(after, field.name)
        if _is_map(field):
            yield from _map_changes(path, old, new)
        elif field.is_repeated and field.message_type is not None:
            yield from _list_changes(path, _by_id(field, old), _by_id(field, new))
        elif field.message_type is None or field.message_type.full_name in _WHOLE:
            pair = _json(field, before), _json(field, after)
            if pair[0] != pair[1]:
                yield path, *pair
        elif before.HasField(field.name) and after.HasField(field.name):
            yield from _message_changes(f"{path}.", old, new)
        elif before.HasField(field.name) or after.HasField(field.name):
            yield path, _json(field, before), _json(field, after)


def _map_changes(path: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[_Change]:
    for key in sorted({*before, *after}):
        old, new = (_text(values[key]) if key in values else "" for values in (before, after))
        if old != new:
            yield f"{path}[{key}]", old, new


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _list_changes(path: str, before: dict[Any, Message], after: dict[Any, Message]) -> Iterator[_Change]:
    for key in dict.fromkeys((*before, *after)):
        element = f"{path}[{key}]"
        if key not in after:
            yield element, _text(_plain(before[key])), ""
        elif key not in before:
            yield element, "", _text(_plain(after[key]))
        else:
            yield from _message_changes(f"{element}.", before[key], after[key])


def _by_id(field: Any, elements: Any) -> dict[Any, Message]:
    name = _ID_FIELDS[field.message_type.full_name]
    return {getattr(element, name): element for element in elements}


def _json(field: Any, owner: Message) -> str:
    """Returns a field's value as ProtoJSON; "" for no value. Booleans and numbers always have a value."""
    value = getattr(owner, field.name)
    if field.message_type is not None:
        return _text(_plain(value)) if owner.HasField(field.name) else ""
    if field.is_repeated:
        return _text(list(value)) if value else ""
    if field.enum_type is not None:
        return _text(field.enum_type.values_by_number[value].name) if value else ""
    if field.type == FieldDescriptor.TYPE_INT64:
        return _text(str(value))
    return "" if value == "" else _text(value)


def _plain(message: Message) -> Any:
    return MessageToDict(message)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
