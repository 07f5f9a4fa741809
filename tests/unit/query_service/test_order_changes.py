"""From what to what: the changes between two states of an order, applied to the first, give the second."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.type.postal_address_pb2 import PostalAddress
from hypothesis import given, settings
from hypothesis import strategies as st
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_query_service_pb2 import FieldChange

from query_service.wire.order_changes import changes_between
from tests.support.commands.complete_requests import is_map
from tests.support.queries.order_events import an_order, money

WHOLE = {"google.type.Money", "google.protobuf.Timestamp"}
IDS = {"lines": "line_number", "items": "line_number", "payments": "payment_id", "shipments": "shipment_id"}
IDS |= {"returns": "return_id", "refunds": "refund_id"}


# -- orders of any shape ----------------------------------------------------------------------------------------------

texts = st.text(max_size=3)
numbers = st.integers(0, 3)


def messages(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """ProtoJSON-like values of a message, with any fields missing."""
    return st.fixed_dictionaries({}, optional={field.name: values(field) for field in descriptor.fields})


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if is_map(field):
        return st.dictionaries(st.sampled_from(["a", "erp/id", "x.y/z"]), texts)
    if field.message_type is not None:
        if field.message_type.full_name == "google.type.Money":
            return st.builds(lambda units: {"currency_code": "EUR", "units": units}, numbers)
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return numbers.map(lambda seconds: f"1970-01-01T00:00:0{seconds}Z")
        inner = messages(field.message_type)
        return _keyed(field, inner) if field.is_repeated else inner
    if field.is_repeated:
        return st.lists(texts, max_size=2)
    if field.enum_type is not None:
        return st.sampled_from(list(field.enum_type.values_by_name))
    return {FieldDescriptor.TYPE_STRING: texts, FieldDescriptor.TYPE_BOOL: st.booleans()}.get(field.type, numbers)


def _keyed(field: FieldDescriptor, inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[Any]]:
    """Elements with ids of their own, in the order of the ids."""
    name = IDS[field.name]
    keys = st.sets(st.integers(1, 3), max_size=2).map(sorted)
    return keys.flatmap(
        lambda chosen: st.lists(inner, min_size=len(chosen), max_size=len(chosen)).map(
            lambda elements: [
                {**element, name: key if name == "line_number" else f"id-{key}"}
                for key, element in zip(chosen, elements, strict=True)
            ]
        )
    )


orders = messages(types.Order.DESCRIPTOR).map(lambda value: ParseDict(value, types.Order()))


# -- changes applied ---------------------------------------------------------------------------------------------------


def applied(order: types.Order, changes: list[FieldChange]) -> types.Order:
    """The order after the changes; what a reader of the audit trail would do by hand."""
    changed = types.Order()
    changed.CopyFrom(order)
    for change in changes:
        _apply(changed, list(_steps(change.field)), change.new_value)
    for name in IDS:
        _sort(changed, name)
    return changed


def _steps(path: str) -> Iterator[tuple[str, str | None]]:
    # A label's key may have points.
    for step in re.findall(r"\w+(?:\[[^\]]*\])?", path):
        found = re.fullmatch(r"(\w+)(?:\[(.*)\])?", step)
        assert found is not None, path
        yield found[1], found[2]


def _apply(message: Any, steps: list[tuple[str, str | None]], new_value: str) -> None:
    (name, key), *rest = steps
    if key is not None:
        elements = getattr(message, name)
        if is_map(message.DESCRIPTOR.fields_by_name[name]):
            elements.pop(key, None)
            if new_value:
                elements[key] = json.loads(new_value)
            return
        same = [element for element in elements if str(getattr(element, IDS[name])) == key]
        if rest:
            _apply(same[0], rest, new_value)
            return
        for element in same:
            elements.remove(element)
        if new_value:
            ParseDict(json.loads(new_value), elements.add())
        return
    if rest:
        _apply(getattr(message, name), rest, new_value)
        return
    message.ClearField(name)
    if new_value:
        ParseDict({name: json.loads(new_value)}, message)


def _sort(message: Any, name: str) -> None:
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.full_name in WHOLE or is_map(field):
            continue
        for element in value if field.is_repeated else [value]:
            _sort(element, name)
        if field.is_repeated and field.name == name:
            value.sort(key=lambda element: getattr(element, IDS[name]))


def comparable(order: types.Order) -> types.Order:
    bare = types.Order()
    bare.CopyFrom(order)
    bare.ClearField("version")
    bare.ClearField("update_time")
    return bare


@settings(max_examples=300)
@given(orders, orders)
def test_the_changes_lead_from_one_order_to_the_other(before: types.Order, after: types.Order) -> None:
    changes = changes_between(before, after)
    assert comparable(applied(before, changes)) == comparable(after)
    assert bool(changes) == (comparable(before) != comparable(after))


@given(orders, orders)
def test_every_change_is_one_and_back_it_is_the_reverse(before: types.Order, after: types.Order) -> None:
    changes = changes_between(before, after)
    back = {change.field: (change.new_value, change.old_value) for change in changes_between(after, before)}
    assert {change.field: (change.old_value, change.new_value) for change in changes} == back
    assert len(back) == len(changes)
    assert all(change.old_value != change.new_value for change in changes)


@given(orders)
def test_nothing_changed_is_no_change(order: types.Order) -> None:
    again = types.Order()
    again.CopyFrom(order)
    again.version += 1
    again.update_time.FromSeconds(order.update_time.seconds + 1)
    assert changes_between(order, again) == []


def test_lists_are_told_apart_by_ids_all_over_the_contract() -> None:
    def lists(descriptor: Descriptor) -> Iterator[str]:
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.full_name not in WHOLE and not is_map(field):
                if field.is_repeated:
                    yield field.name
                    assert IDS[field.name] in field.message_type.fields_by_name
                yield from lists(field.message_type)

    assert set(lists(types.Order.DESCRIPTOR)) == set(IDS)
    full = types.Order()
    for name in ("lines", "payments", "shipments", "returns", "refunds"):
        getattr(full, name).add()
    assert len(changes_between(None, full)) == 5


# -- as people read them -----------------------------------------------------------------------------------------------


def order(version: int = 1) -> types.Order:
    return an_order("018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b", version)


def changes(before: types.Order | None, after: types.Order) -> list[tuple[str, str, str]]:
    return [(change.field, change.old_value, change.new_value) for change in changes_between(before, after)]


def test_an_address_changes_field_by_field() -> None:
    before, after = order(1), order(2)
    after.freight.CopyFrom(before.freight)
    after.total.CopyFrom(before.total)
    after.shipping_address.locality = "Lübeck"
    after.shipping_address.address_lines.append("Hinterhof")
    assert changes(before, after) == [
        ("shipping_address.locality", '"Brandenburg"', '"Lübeck"'),
        ("shipping_address.address_lines", '["Am Lager 3"]', '["Am Lager 3","Hinterhof"]'),
    ]


def test_money_flags_states_quantities_and_movements() -> None:
    before, after = order(1), order(1)
    after.state = types.ORDER_STATE_PAID
    after.on_hold = True
    after.lines[1].shipped_quantity = 4
    after.paid_total.CopyFrom(money(12, 500_000_000))
    after.payments.append(types.Payment(payment_id="pay-1", amount=money(12), method="card"))
    assert changes(before, after) == [
        ("state", '"ORDER_STATE_PLACED"', '"ORDER_STATE_PAID"'),
        ("on_hold", "false", "true"),
        ("lines[2].shipped_quantity", "0", "4"),
        ("paid_total", '{"currencyCode":"EUR"}', '{"currencyCode":"EUR","units":"12","nanos":500000000}'),
        (
            "payments[pay-1]",
            "",
            '{"paymentId":"pay-1","amount":{"currencyCode":"EUR","units":"12"},"method":"card"}',
        ),
    ]


def test_labels_and_the_note() -> None:
    before, after = order(), order()
    before.labels.update({"a": "1", "b": "2", "empty": ""})
    after.labels.update({"b": "3", "x.y/c": "4", "empty": ""})
    after.note = "ring twice"
    assert changes(before, after) == [
        ("labels[a]", '"1"', ""),
        ("labels[b]", '"2"', '"3"'),
        ("labels[x.y/c]", "", '"4"'),
        ("note", "", '"ring twice"'),
    ]


def test_the_first_event_brings_everything_there_is() -> None:
    fields = {field for field, _, _ in changes(None, order())}
    assert {"order_id", "state", "customer", "shipping_address", "lines[1]", "lines[2]", "total"} <= fields
    assert all(old in ("", "false", "0") for _, old, _ in changes(None, order()))


def test_a_redaction_is_a_change_to_nothing() -> None:
    before, after = order(), order()
    after.customer.CopyFrom(types.Customer(customer_id="KOENE"))
    after.shipping_address.CopyFrom(PostalAddress(region_code="DE"))
    found = {field: new for field, _, new in changes(before, after)}
    assert found["customer.display_name"] == ""
    assert found["shipping_address.recipients"] == ""
    assert "customer.customer_id" not in found


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_time_is_one_value(seconds: int) -> None:
    before, after = order(), order()
    shipment = types.Shipment(shipment_id="s")
    before.shipments.append(shipment)
    after.shipments.append(shipment)
    after.shipments[0].deliver_time.FromSeconds(seconds)
    assert changes(before, after) == [("shipments[s].deliver_time", "", f'"1970-01-01T00:00:0{seconds}Z"')]
