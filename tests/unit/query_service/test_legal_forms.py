"""The projection reads each form of ProtoJSON that protobuf reads, and refuses the others naming the field."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData

from query_service.projection.errors import ProjectionError
from query_service.projection.evolve import evolve
from query_service.projection.legal_forms import _as_written, _number, _of_field
from query_service.projection.order_document import Origin
from query_service.projection.proto_json import integer
from query_service.projection.recorded_order import read_payload, read_personal_data
from tests.support.source_mutants import Mutant, noticed
from tests.unit.query_service.test_projection import a_full_order

ORIGIN: Origin = {"source_epoch": 1, "revision": 0, "event_id": str(uuid.UUID(int=1)), "recorded_at": 1, "hash": ""}
Place = tuple[str | int, ...]


def recorded() -> dict[str, Any]:
    """The payload of an event whose order has a value in every field."""
    order = a_full_order()
    order.version = 7
    found: dict[str, Any] = MessageToDict(OrderEvent(order_id=order.order_id, order_version=7, order=order))
    return found


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value within a value of JSON, and where it is; of lists the first element."""
    if place:
        yield place, value
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*place, name))


def changed(payload: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(payload))
    target: Any = copy
    for name in place[:-1]:
        target = target[name]
    target[place[-1]] = value
    return copy


def shown(payload: dict[str, Any]) -> types.Order:
    read = read_payload(json.dumps(payload), 1)
    assert read.order is not None
    return types.Order.FromString(evolve(read.order, None, ORIGIN)["order"])


def other_forms(value: Any) -> list[Any]:
    """Values that may be other forms of a value, or of no value."""
    if isinstance(value, bool):
        return [None, "true", 1]
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return [None, int(value), float(value), f"{value} ", True, 2**63, str(2**63)]
    if isinstance(value, int):
        return [None, str(value), float(value), value + 0.5, f"{value}.5", " 1", True, 2**31, str(2**31), "x"]
    if isinstance(value, str):
        return [None, 1, 99, [], {}]
    return [None, 1, "x", ["x"] if isinstance(value, dict) else {}]


def outcome(payload: dict[str, Any]) -> types.Order | str:
    try:
        return shown(payload)
    except ProjectionError as error:
        return error.detail


def check_every_form() -> None:
    """Each value of the order in each form, one after the other."""
    payload, read, refused = recorded(), 0, 0
    for place, value in places(payload["order"], ("order",)):
        for form in other_forms(value) if len(place) > 1 else ():
            other = changed(payload, place, form)
            try:
                understood = MessageToDict(ParseDict(other["order"], types.Order()))
            except ParseError:
                with pytest.raises(ProjectionError) as refusal:
                    shown(other)
                # The key of a label is text of a caller, and personal.
                named = "labels" if "labels" in place else next(part for part in reversed(place) if type(part) is str)
                assert named in refusal.value.detail, place
                refused += 1
            else:
                assert outcome(other) == outcome({**payload, "order": understood}), (place, form)
                read += 1
    assert (read > 200, refused > 200) == (True, True), (read, refused)


def test_every_form_is_read_as_protobuf_reads_it() -> None:
    check_every_form()


def check_personal_data() -> None:
    for text in ('{"customerDisplayName":null,"labels":null,"shippingAddress":{"revision":"3","recipients":null}}',):
        found = read_personal_data(text)
        assert found == read_personal_data('{"shippingAddress":{"revision":3}}')
        assert ParseDict(json.loads(text), OrderPersonalData()).shipping_address.revision == 3


def test_personal_data_is_read_alike() -> None:
    check_personal_data()


NUMBERS = "DECIMAL.fullmatch(value)"
MUTANTS = {
    "null is no default": (Mutant(_as_written, "if found is not None", "if True"), check_personal_data),
    "text is no number": (Mutant(_number, NUMBERS, "False"), check_personal_data),
    "a number with a point is none": (Mutant(_number, "value.is_integer()", "False"), check_every_form),
    "a number is cut": (Mutant(_number, " and value.is_integer()", ""), check_every_form),
    "an enum is not read as a number": (Mutant(_of_field, "type(value) is int", "False"), check_every_form),
    "any text is a large number": (Mutant(integer, f"not {NUMBERS}", "False"), check_every_form),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_form_that_is_misread_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work, or_raises=(ProjectionError, ValueError)):
        check()
