"""The journal's texts are those of the contract's messages, to the letter, and nothing personal is in a payload."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_types_pb2
from tandem.orders.v1.order_events_pb2 import OrderPersonalData

from command_service.application.command_call import CommandCall
from command_service.domain.decision import Decision
from command_service.domain.events import (
    Event,
    OrderCreated,
    OrderHeld,
    OrderLabelled,
    OrderPaid,
    OrderShipped,
    OrderShippingAddressChanged,
)
from command_service.domain.movements import Payment
from command_service.domain.order import Order
from command_service.domain.parties import CONTACT_TEXTS
from command_service.domain.states import OrderState
from command_service.wire import event_json, order_json
from command_service.wire.event_json import headers_json, payload_json, personal_json
from command_service.wire.event_messages import event_message
from command_service.wire.event_room import NOTHING, Omitted
from command_service.wire.order_messages import order_message
from command_service.wire.values import address_message
from tests.support.commands.library_text import library_text
from tests.support.commands.random_orders import RandomOrders
from tests.support.source_mutants import Mutant, noticed

EVENT_ID = UUID("01a20553-2d33-7302-b86b-64ed00862ced")
COUNT = 150


def random_event(source: random.Random, order: Order) -> Event:
    """An event of those whose texts differ most: with a movement, with old personal values, without anything."""
    made = RandomOrders(source)
    payment = order.payments[0] if order.payments else Payment("P", 7, "card", "", order.placed_at)
    previous_note = source.choice([None, "", made.text()])
    events: list[Event] = [
        OrderPaid(payment, OrderState.PLACED),
        *(OrderShipped(shipment, OrderState.PAID) for shipment in order.shipments),
        _created(order),
        OrderShippingAddressChanged(order.shipping_address, made.address(), order.updated_at),
        OrderLabelled(order.labels, order.note, made.labels(), previous_note, order.updated_at),
        OrderHeld(order.updated_at),
    ]
    return source.choice(events)


def _created(order: Order) -> OrderCreated:
    values: dict[str, Any] = {field.name: getattr(order, field.name, order.placed_at) for field in fields(OrderCreated)}
    return OrderCreated(**values)


def split(order: order_types_pb2.Order) -> OrderPersonalData:
    """Moves what is personal out of the message: all of customer and addresses but the id and the country codes."""
    personal = OrderPersonalData(
        **{f"customer_{name}": getattr(order.customer, name) for name in CONTACT_TEXTS},
        billing_address=order.billing_address, shipping_address=order.shipping_address,
        labels=order.labels, note=order.note,
    )  # fmt: skip
    order.customer.CopyFrom(order_types_pb2.Customer(customer_id=order.customer.customer_id))
    order.ClearField("labels")
    order.ClearField("note")
    for address in (order.billing_address, order.shipping_address):
        address.CopyFrom(PostalAddress(region_code=address.region_code))
    return personal


def expected(call: CommandCall, decision: Decision[Event], omitted: Omitted) -> tuple[str, str]:
    """Payload and personal data as the library writes them from the contract's messages."""
    event = decision.event
    message = event_message(EVENT_ID, decision, call)
    message.order.CopyFrom(order_message(decision.order, omitted))
    personal = split(message.order)
    if isinstance(event, OrderShippingAddressChanged):
        personal.previous_shipping_address.CopyFrom(address_message(event.previous_shipping_address))
    if isinstance(event, OrderLabelled):
        personal.previous_labels.update(event.previous_labels)
        if event.previous_note is not None:
            personal.previous_note = event.previous_note
    return library_text(message), library_text(personal)


def check_random_events() -> None:
    source = random.Random(11)
    for _ in range(COUNT):
        order = RandomOrders(source).order()
        decision: Decision[Event] = Decision(random_event(source, order), order)
        call = CommandCall(source.choice(["shop", 'ä"\\']), UUID(int=7), b"", source.choice(["", 'w"hy\n']))
        counts = [source.randint(0, len(getattr(order, field.name))) for field in fields(Omitted)]
        omitted = source.choice([NOTHING, Omitted(*counts)])
        message = event_message(EVENT_ID, decision, call)
        payload = payload_json(decision, message, order_json.order_json(order, omitted))
        assert (payload, personal_json(order, decision.event)) == expected(call, decision, omitted)


def test_the_texts_of_random_events_are_the_librarys() -> None:
    check_random_events()


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        (order_json._order, "if order.redacted:", "yield '\"note\":\"ring\"'\n    if order.redacted:"),
        (order_json._order, "if order.on_hold:", "if False:"),
        (order_json._line, "if any(moved):", "if all(moved):"),
        (order_json._movements, "order.refunds[omitted.refunds :]", "order.refunds"),
        (order_json.moment_json, "moment.microsecond % 1000", "moment.microsecond"),
        (order_json._amounts_in, 'if rest else', "if units else"),
        (event_json._change, "ORDER_STATE_{event.previous_state}", "{event.previous_state}"),
        (order_json.shipment_json, "shipment.delivered_at is None", "True"),
        (event_json.personal_json, "order.billing_address is order.shipping_address", "True"),
        (event_json.personal_json, "if event.previous_note is not None:", "if event.previous_note:"),
    ],
)  # fmt: skip
def test_a_text_that_differs_is_noticed(function: Any, old: str, new: str) -> None:
    order_json._amounts_in.cache_clear()
    with noticed(Mutant(function, old, new)):
        check_random_events()
    order_json._amounts_in.cache_clear()


def test_every_field_of_the_messages_is_written_by_some_order() -> None:
    """The random orders set every field that an order can have, so that none is left out of the comparison."""
    source, written = random.Random(3), set[str]()
    for _ in range(COUNT):
        order = RandomOrders(source).order()
        written |= set(json.loads(order_json.order_json(order, Omitted(*(1 for _ in fields(Omitted))))))
        written |= set(json.loads(personal_json(order, OrderHeld(order.updated_at))))
    personal = {"labels", "note"}
    assert {field.json_name for field in order_types_pb2.Order.DESCRIPTOR.fields} - personal <= written
    assert personal <= written


def test_headers_are_compact_json() -> None:
    call = CommandCall('sh"op', UUID(int=7), b"", traceparent="00-ab-cd-01")
    headers = headers_json(call, 3)
    assert json.dumps(json.loads(headers), separators=(",", ":"), ensure_ascii=False) == headers
    assert json.loads(headers)["actor"] == 'sh"op'
    assert "traceparent" not in json.loads(headers_json(replace(call, traceparent=""), 3))
