"""The contract's messages and the journal's texts: nothing is lost on the way, nothing personal stands in a payload."""

from __future__ import annotations

import json
import random
from typing import Any, get_args
from uuid import UUID

import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.consistency_token import decode
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData

from command_service.application.command_call import CommandCall
from command_service.application.ports import Description
from command_service.domain.commands import Command, ImportOrder
from command_service.domain.events import FirstEvent, LaterEvent
from command_service.domain.labels import Labels
from command_service.domain.money import Money
from command_service.domain.order import Order
from command_service.domain.parties import ADDRESS_LISTS, ADDRESS_TEXTS, CONTACT_TEXTS
from command_service.wire.commands import fingerprint, place_order
from command_service.wire.event_messages import CHANGES
from command_service.wire.json_text import json_text
from command_service.wire.order_messages import FULFILLMENT_STATES, ORDER_STATES, PAYMENT_STATES, order_message
from command_service.wire.representation import ContractRepresentation
from tests.support.commands import domain_orders as orders
from tests.support.commands.domain_orders import NOW, full_order
from tests.support.commands.orders import place_order_request

CALL = CommandCall("shop", UUID(int=7), b"", "why", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
EVENT_ID = UUID("01a20553-2d33-7302-b86b-64ed00862ced")
PERSONAL = ("Ann", "ann@example.org", "Köln", "Ring 1", "Hof", "erp/id", "4711", "Klingeln")
LABELS = Labels({"erp/id": "4711"})


def described(call: CommandCall = CALL, command: Command | None = None) -> tuple[Order, Description]:
    """A new order, and what is stored and answered of it."""
    made = orders.decision(None, command or orders.place_order(labels=LABELS, note="Klingeln"))
    return made.order, ContractRepresentation(900_000).describe(call, EVENT_ID, made, 3)


def request() -> contract.PlaceOrderRequest:
    return place_order_request(random.Random(1))


def test_a_request_becomes_the_command_it_says() -> None:
    message = request()
    command = place_order(message, CALL.derived_id)
    assert str(command.order_id) == message.order_id
    assert command.customer.customer_id == message.customer.customer_id
    assert command.shipping_address.address_lines == tuple(message.shipping_address.address_lines)
    assert (command.billing_address, command.expected_total, command.order_number) == (None, None, None)
    assert [line.sku for line in command.lines] == [line.sku for line in message.lines]
    for line, said in zip(command.lines, message.lines, strict=True):
        assert line.unit_price.currency == said.unit_price.currency_code
    message.billing_address.region_code = "FR"
    message.expected_total.currency_code = "KWD"
    message.expected_total.nanos = 5_000_000
    message.order_number = "A-1"
    message.order_id = ""
    command = place_order(message, CALL.derived_id)
    assert command.billing_address is not None
    assert command.billing_address.region_code == "FR"
    assert command.expected_total == Money("KWD", 5)
    assert command.order_number == "A-1"
    assert command.order_id == CALL.derived_id("order") == CALL.derived_id("order")


def test_made_ids_differ_by_caller_request_and_kind() -> None:
    other_caller = CommandCall("other", CALL.request_id, b"")
    other_request = CommandCall(CALL.principal, UUID(int=8), b"")
    made = {call.derived_id(kind) for call in (CALL, other_caller, other_request) for kind in ("order", "payment")}
    assert len(made) == 6


def test_the_fingerprint_is_of_what_is_asked_and_not_of_the_request_id() -> None:
    message = request()
    original = fingerprint(message)
    message.request_id = str(UUID(int=3))
    assert fingerprint(message) == original
    assert message.request_id == str(UUID(int=3))
    message.order_id = message.order_id.upper()
    assert fingerprint(message) == original
    message.lines[2].quantity += 1
    assert fingerprint(message) != original
    assert fingerprint(contract.HoldOrderRequest(reason="x")) != fingerprint(contract.ReleaseOrderRequest(reason="x"))


def unset(message: Message, path: str = "") -> list[str]:
    """Fields of a message and of the messages in it that carry their default value."""
    missing = []
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        here = f"{path}{field.name}"
        if field.is_repeated:
            missing += [here] if not len(value) else []
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue
            missing += [name for item in value if isinstance(item, Message) for name in unset(item, f"{here}.")]
        elif isinstance(value, Message):
            missing += unset(value, f"{here}.") if message.HasField(field.name) else [here]
        elif not value:
            missing.append(here)
    return missing


def test_every_field_of_an_order_is_filled_from_somewhere() -> None:
    message = order_message(full_order())
    empty = set(unset(message))
    # What this order cannot have, what is zero by chance, and what the contract leaves to be empty.
    assert {name for name in empty if not name.endswith((".nanos", ".units"))} == {
        "redacted",
        "omitted",
        "billing_address.administrative_area",
        "billing_address.language_code",
        "billing_address.organization",
        "billing_address.postal_code",
        "billing_address.revision",
        "billing_address.sorting_code",
        "billing_address.sublocality",
        "lines.cancelled_quantity",
        "lines.delivered_quantity",
        "lines.returned_quantity",
        "lines.shipped_quantity",
        "shipments.carrier",
        "shipments.deliver_time",
        "shipments.items",
        "shipments.tracking_number",
        "shipping_address.administrative_area",
        "shipping_address.language_code",
        "shipping_address.organization",
        "shipping_address.postal_code",
        "shipping_address.revision",
        "shipping_address.sorting_code",
        "shipping_address.sublocality",
    }
    assert (message.refund_due.units, message.refund_due.nanos) == (0, 500_000_000)
    assert message.place_time.ToDatetime(NOW.tzinfo) == NOW


def test_parties_have_the_fields_of_their_messages() -> None:
    # The contract refuses every other revision of an address than 0.
    assert {*ADDRESS_TEXTS, *ADDRESS_LISTS, "revision"} == set(PostalAddress.DESCRIPTOR.fields_by_name)
    assert {"customer_id", *CONTACT_TEXTS} == set(types.Customer.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("ours", "enum"),
    [
        (ORDER_STATES, types.OrderState),
        (PAYMENT_STATES, types.PaymentState),
        (FULFILLMENT_STATES, types.FulfillmentState),
    ],
)
def test_every_state_has_its_number(ours: dict[Any, int], enum: Any) -> None:
    assert sorted(ours.values()) == sorted(value for value in enum.values() if value)


def test_an_event_in_the_journal() -> None:
    order, encoded = described()
    payload, personal = Parse(encoded.payload, OrderEvent()), Parse(encoded.personal, OrderPersonalData())
    assert (payload.event_id, payload.event_type) == (str(EVENT_ID), "ORDER_CREATED")
    assert (payload.order_version, payload.actor, payload.reason) == (1, "shop", "why")
    assert payload.WhichOneof("change") == "order_created"
    assert not any(word in encoded.payload for word in PERSONAL)
    assert all(word in encoded.personal for word in PERSONAL)
    assert payload.order.shipping_address.region_code == "DE"
    # The two halves make the order again.
    whole = payload.order
    whole.customer.display_name = personal.customer_display_name
    whole.customer.email, whole.customer.phone = personal.customer_email, personal.customer_phone
    whole.labels.update(personal.labels)
    whole.note = personal.note
    whole.billing_address.CopyFrom(personal.billing_address)
    whole.shipping_address.CopyFrom(personal.shipping_address)
    assert whole == order_message(order)


def test_texts_of_the_journal_are_compact_and_readable() -> None:
    _, encoded = described()
    for text in (encoded.payload, encoded.personal):
        assert json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) == text
    assert '"locality":"Köln"' in encoded.personal
    assert '"orderVersion":"1"' in encoded.payload
    assert json_text(types.Order()) == "{}"


def test_headers_are_texts_and_the_trace_is_optional() -> None:
    headers = json.loads(described()[1].headers)
    assert headers == {
        "traceparent": CALL.traceparent,
        "actor": "shop",
        "request_id": str(CALL.request_id),
        "schema_version": "1",
        "source_epoch": "3",
    }
    assert "traceparent" not in json.loads(described(CommandCall("shop", CALL.request_id, b""))[1].headers)


def test_the_response() -> None:
    order, encoded = described()
    response = contract.PlaceOrderResponse.FromString(encoded.response)
    assert response.order == order_message(order)
    assert response.version == 1
    assert [(recorded.event_id, recorded.order_version) for recorded in response.events] == [(str(EVENT_ID), 1)]
    assert not response.events[0].HasField("order")
    token = decode(response.consistency_token)
    assert (token.source_epoch, dict(token.versions)) == (3, {str(order.order_id): 1})


def test_all_order_commands_answer_alike() -> None:
    """One representation serves them all: same fields, same numbers."""

    def shape(message: type[Message]) -> list[tuple[str, int, int]]:
        return [(field.name, field.number, field.type) for field in message.DESCRIPTOR.fields]

    service = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
    answers = [method.output_type for method in service.methods if "order" in method.output_type.fields_by_name]
    assert len(answers) == 12
    for answer in answers:
        fields = [(field.name, field.number, field.type) for field in answer.fields]
        assert fields == shape(contract.PlaceOrderResponse)


def test_an_import_is_answered_in_short() -> None:
    order, encoded = described(command=ImportOrder(orders.place_order(), NOW))
    response = contract.ImportOrdersResponse.FromString(encoded.response)
    token = decode(response.consistency_token)
    assert (token.source_epoch, dict(token.versions)) == (3, {str(order.order_id): 1})
    assert [field.name for field, _ in response.ListFields()] == [
        "request_id",
        "order_id",
        "version",
        "consistency_token",
    ]
    assert (response.request_id, response.order_id) == (str(CALL.request_id), str(order.order_id))


def test_every_event_says_its_change_and_no_other() -> None:
    assert set(CHANGES) == set(get_args(FirstEvent)) | set(get_args(LaterEvent))
    fields = {field.name for field in OrderEvent.DESCRIPTOR.oneofs_by_name["change"].fields}
    assert {name for name, _ in CHANGES.values()} == fields
    assert len(fields) == len(CHANGES)
