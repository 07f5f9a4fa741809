"""Writes an event as the outbox keeps it for ever: its payload, its headers, and the personal data beside them.

Payload and personal data are the ProtoJSON of `OrderEvent` and `OrderPersonalData`, to the letter, as a test checks
for random orders and every kind of event. Personal data has a text of its own, so that it can be erased later. Of
customer and addresses, only the customer's id and the country codes stay in the payload. Labels and note are personal
as a whole, because callers write into them what they like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from json.encoder import encode_basestring as quoted
from operator import attrgetter

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData

from command_service.application.command_call import CommandCall
from command_service.domain.decision import Decision
from command_service.domain.events import (
    Event,
    OrderCreated,
    OrderLabelled,
    OrderPaid,
    OrderShipped,
    OrderShippingAddressChanged,
)
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, CONTACT_TEXTS, Address
from command_service.wire.json_text import json_text
from command_service.wire.order_json import moment_json, payment_json, shipment_json

SCHEMA_VERSION = "1"
#: Events that replace personal values.
WITH_OLD_VALUES = (OrderShippingAddressChanged, OrderLabelled)


def _members(message: Descriptor, names: Iterable[str]) -> tuple[str, ...]:
    """Returns how the members for these fields begin: `"postalCode":`."""
    return tuple(f'"{message.fields_by_name[name].json_name}":' for name in names)


def _in_order(message: Descriptor, names: Iterable[str]) -> list[str]:
    """Returns the names sorted by the numbers of their fields."""
    return sorted(names, key=lambda name: message.fields_by_name[name].number)


_ADDRESS = _in_order(PostalAddress.DESCRIPTOR, [field.name for field in fields(Address)])
_ADDRESS_MEMBERS = _members(PostalAddress.DESCRIPTOR, _ADDRESS)
_LISTS = frozenset(map(_ADDRESS.index, ADDRESS_LISTS))
_CONTACT_MEMBERS = _members(OrderPersonalData.DESCRIPTOR, [f"customer_{name}" for name in CONTACT_TEXTS])
_CHANGE_MEMBERS = {
    field.name: f'"{field.json_name}":' for field in OrderEvent.DESCRIPTOR.oneofs_by_name["change"].fields
}
_address_values, _contact_values = attrgetter(*_ADDRESS), attrgetter(*CONTACT_TEXTS)


def payload_json(decision: Decision[Event], message: OrderEvent, order: str) -> str:
    """Returns the payload. `message` is that of the event without its order, and `order` is the order's text."""
    event = decision.event
    change = str(message.WhichOneof("change"))
    reason = f'"reason":{quoted(message.reason)},' if message.reason else ""
    return (
        f'{{"eventId":"{message.event_id}","orderId":"{message.order_id}","orderVersion":"{message.order_version}",'
        f'"eventType":"{event.event_type}","occurTime":{moment_json(event.occurred_at)},"order":{order},'
        f'{reason}"actor":{quoted(message.actor)},"requestId":"{message.request_id}",'
        f"{_CHANGE_MEMBERS[change]}{_change(event, decision.order.currency, getattr(message, change))}}}"
    )


def _change(event: Event, currency: str, message: Message) -> str:
    """Returns the change that an event names. Those of the most frequent events are written like the order."""
    match event:
        case OrderCreated():
            return "{}"
        case OrderPaid():
            changed = f'"payment":{payment_json(event.payment, currency)}'
        case OrderShipped():
            changed = f'"shipment":{shipment_json(event.shipment)}'
        case _:
            return json_text(message)
    return f'{{{changed},"previousState":"ORDER_STATE_{event.previous_state}"}}'


def headers_json(call: CommandCall, source_epoch: int) -> str:
    """Returns the headers of the event that `call` caused."""
    trace = f'"traceparent":{quoted(call.traceparent)},' if call.traceparent else ""
    return (
        f'{{{trace}"actor":{quoted(call.principal)},"request_id":"{call.request_id}",'
        f'"schema_version":"{SCHEMA_VERSION}","source_epoch":"{source_epoch}"}}'
    )


def personal_json(order: Order, event: Event) -> str:
    """Returns the personal data of the order after `event`, and the personal values that the event replaced."""
    shipping = _address(order.shipping_address)
    billing = shipping if order.billing_address is order.shipping_address else _address(order.billing_address)
    contact = zip(_CONTACT_MEMBERS, _contact_values(order.customer), strict=True)
    parts = [member + quoted(text) for member, text in contact if text]
    parts.append(f'"billingAddress":{billing},"shippingAddress":{shipping}')
    if isinstance(event, OrderShippingAddressChanged):
        parts.append(f'"previousShippingAddress":{_address(event.previous_shipping_address)}')
    if order.labels:
        parts.append(f'"labels":{_labels(order.labels)}')
    if order.note:
        parts.append(f'"note":{quoted(order.note)}')
    if isinstance(event, OrderLabelled):
        if event.previous_labels:
            parts.append(f'"previousLabels":{_labels(event.previous_labels)}')
        if event.previous_note is not None:
            parts.append(f'"previousNote":{quoted(event.previous_note)}')
    return "{" + ",".join(parts) + "}"


def _address(address: Address) -> str:
    parts = []
    for place, value in enumerate(_address_values(address)):
        if value:
            text = f"[{','.join(map(quoted, value))}]" if place in _LISTS else quoted(value)
            parts.append(_ADDRESS_MEMBERS[place] + text)
    return "{" + ",".join(parts) + "}"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join([f"{quoted(key)}:{quoted(labels[key])}" for key in sorted(labels)]) + "}"
