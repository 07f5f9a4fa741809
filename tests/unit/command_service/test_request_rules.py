"""The table of request rules: a line for every field of every command, and checks that find what they should."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import LineQuantity

from command_service.handlers.request_rules import REQUEST_RULES, validate
from service_runtime.edge.field_checks import Check
from service_runtime.edge.request_validation import ROOM_FOR_VIOLATIONS, InvalidRequest
from tests.support.commands.complete_requests import UUID, is_map
from tests.support.commands.imports import import_request
from tests.support.commands.orders import place_order_request

SERVICE = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
REQUESTS: dict[str, Descriptor] = {method.input_type.full_name: method.input_type for method in SERVICE.methods}


def paths(message: Descriptor, rules: Mapping[str, Check], prefix: str = "") -> Iterator[str]:
    """Every path that needs a rule: fields, elements, and fields of messages that no rule checks whole."""
    for field in message.fields:
        path = prefix + field.name
        yield path
        if is_map(field) and rules[path].whole:
            continue
        if field.is_repeated:
            path += "[]"
            if field.message_type is None:
                yield path
                continue
        elif field.message_type is None or (path in rules and rules[path].whole):
            continue
        if field.message_type is not None:
            yield from paths(field.message_type, rules, f"{path}.")


@pytest.mark.parametrize("name", REQUESTS)
def test_every_field_of_every_command_has_a_rule_and_every_rule_a_field(name: str) -> None:
    rules = REQUEST_RULES[name]
    assert set(paths(REQUESTS[name], rules)) == set(rules)


def test_only_commands_have_rules() -> None:
    assert set(REQUEST_RULES) == set(REQUESTS)


def test_every_rule_says_what_it_demands() -> None:
    assert all(check.demands for rules in REQUEST_RULES.values() for check in rules.values())


def violations(change: Callable[[contract.PlaceOrderRequest], Any]) -> dict[str, str]:
    request = place_order_request(random.Random(3))
    change(request)
    try:
        validate(request)
    except InvalidRequest as invalid:
        return {violation.field: violation.description for violation in invalid.violations}
    return {}


def test_a_good_request_passes() -> None:
    for seed in range(50):
        validate(place_order_request(random.Random(seed), lines=seed % 7 + 1))


def test_everything_wrong_is_named_at_once() -> None:
    def spoil(request: contract.PlaceOrderRequest) -> None:
        request.request_id = "x"
        request.customer.customer_id = " "
        request.lines[0].unit_price.nanos = 1
        request.lines[2].quantity = 0
        request.shipping_address.address_lines.append("a\nb")

    assert violations(spoil) == {
        "request_id": "must be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b, and not the nil one",
        "customer.customer_id": "is required",
        "lines[0].unit_price.nanos": "is finer than EUR, which has 2 decimal places",
        "lines[2].quantity": "is 0, must be 1 to 1000000",
        "shipping_address.address_lines[1]": "has the control character U+000A",
    }


def test_more_violations_than_fit_are_counted() -> None:
    def spoil(request: contract.PlaceOrderRequest) -> None:
        line = request.lines[0]
        line.quantity = -1
        del request.lines[:]
        request.lines.extend([line] * 500)

    request = place_order_request(random.Random(3))
    spoil(request)
    with pytest.raises(InvalidRequest) as invalid:
        validate(request)
    named = invalid.value.violations
    assert sum(len(each.field) + len(each.description) for each in named) < ROOM_FOR_VIOLATIONS + 100
    assert named[-1].description == f"{500 - len(named) + 1} more wrong fields are left out here"


def test_a_wrong_count_hides_its_elements() -> None:
    def spoil(request: contract.PlaceOrderRequest) -> None:
        request.lines.extend([contract.NewOrderLine()] * 501)

    assert violations(spoil) == {"lines": "has 504 elements, must have 1 to 500"}


def test_one_currency_is_named_at_each_amount_that_differs() -> None:
    def spoil(request: contract.PlaceOrderRequest) -> None:
        request.lines[1].unit_price.currency_code = "USD"
        request.freight.currency_code = "USD"
        request.freight.nanos = 0

    assert set(violations(spoil)) == {"lines[1].unit_price.currency_code", "freight.currency_code"}


def test_only_a_revision_takes_line_numbers() -> None:
    refusal = {"lines[1].line_number": "must be absent: only ReviseOrder takes it"}
    assert violations(lambda request: setattr(request.lines[1], "line_number", 2)) == refusal
    imported = import_request(random.Random(1))
    imported.lines[0].line_number = 1
    with pytest.raises(InvalidRequest, match="only ReviseOrder takes it"):
        validate(imported)
    revision = contract.ReviseOrderRequest(request_id=UUID, order_id=UUID, lines=imported.lines)
    validate(revision)
    revision.lines[0].line_number = -1
    with pytest.raises(InvalidRequest, match=r"lines\[0\].line_number"):
        validate(revision)


def test_length_is_in_characters() -> None:
    assert violations(lambda request: setattr(request.lines[0], "product_name", "ü" * 200)) == {}
    assert set(violations(lambda request: setattr(request.lines[0], "product_name", "ü" * 201))) == {
        "lines[0].product_name"
    }


def test_items_of_many_shipments_are_counted_before_they_are_looked_at() -> None:
    request = import_request(random.Random(1))
    del request.shipments[:]
    for _ in range(25):
        request.shipments.add(items=[LineQuantity()] * 400)
    with pytest.raises(InvalidRequest) as invalid:
        validate(request)
    assert len(invalid.value.violations) > 25  # each item is wrong
    request.shipments.add(items=[LineQuantity()])
    with pytest.raises(InvalidRequest) as invalid:
        validate(request)
    (violation,) = invalid.value.violations
    assert (violation.field, violation.description) == (
        "shipments",
        "have 10001 items in all, at most 10000 are allowed",
    )
