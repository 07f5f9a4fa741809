"""Projecting is a function of the event alone; applied in any order and any number of times it gives one read model."""

import itertools
import uuid
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.journal_check import _changed_fields
from query_service.projection.project import ProjectedEvent, order_after, project
from query_service.projection.stream_event import read_event
from query_service.projection.words.asked import asked_words, begins_words
from query_service.storage.memory import MemoryStore
from tests.support.commands.complete_requests import is_map
from tests.support.queries.order_events import PublishedEvent, an_order, published, redacted

ORDER_IDS = [str(uuid.UUID(int=number)) for number in range(1, 4)]


def projected(message: PublishedEvent, revision: int = 0) -> ProjectedEvent:
    return project(read_event(message.headers, message.body), revision)


def shown(event: ProjectedEvent) -> types.Order:
    return types.Order.FromString(event.order["order"])


def filled(descriptor: Descriptor, counter: "itertools.count[int]", currency: str = "EUR") -> dict[str, Any]:
    """Keyword arguments that set every field of a message, each to another value."""
    values: dict[str, Any] = {}
    for field in descriptor.fields:
        if is_map(field):
            values[field.name] = {"erp/id": f"text {next(counter)}", "a": ""}
            continue
        value = _value(field, counter, currency)
        values[field.name] = [value, _value(field, counter, currency)] if field.is_repeated else value
    return values


def _value(field: FieldDescriptor, counter: "itertools.count[int]", currency: str) -> Any:
    number = next(counter)
    if field.message_type is not None:
        if field.message_type.full_name == "google.type.Money":
            return Money(currency_code=currency, units=number, nanos=10_000_000 * (number % 100))
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return Timestamp(seconds=800_000_000 + number, nanos=number * 1000)
        return filled(field.message_type, counter, currency)
    if field.enum_type is not None:
        return field.enum_type.values[1 + number % (len(field.enum_type.values) - 1)].number
    return {"string": f"text {number}", "bool": True}.get(_kind(field), number)


def _kind(field: FieldDescriptor) -> str:
    return {FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BOOL: "bool"}.get(field.type, "number")


def a_full_order() -> types.Order:
    values = filled(types.Order.DESCRIPTOR, itertools.count(1))
    return types.Order(**{**values, "order_id": ORDER_IDS[0], "currency_code": "EUR"})


def test_every_field_of_the_contract_comes_back() -> None:
    order = a_full_order()
    event = projected(published(order))
    assert shown(event) == order


@pytest.mark.parametrize(("units", "nanos"), [(-1, -500_000_000), (0, -10_000_000), (0, 0), (7, 990_000_000)])
@pytest.mark.parametrize("currency", ["EUR", "BHD"])
def test_amounts_come_back_with_their_sign(units: int, nanos: int, currency: str) -> None:
    amount = Money(currency_code=currency, units=units, nanos=nanos)
    order = types.Order(order_id=ORDER_IDS[0], version=1, currency_code=currency, refund_due=amount)
    assert shown(projected(published(order))) == order


def test_an_empty_order_comes_back_empty() -> None:
    order = types.Order(order_id=ORDER_IDS[0], version=1)
    assert shown(projected(published(order))) == order


def test_the_journal_entry_shows_the_same_order() -> None:
    event = projected(published(a_full_order()))
    assert order_after(event.event) == event.order


def test_without_personal_data_the_order_is_shown_redacted() -> None:
    order = a_full_order()
    event = projected(published(order, personal=False))
    assert shown(event) == redacted(order)
    assert event.event["personal"] is None
    assert event.event["salt"] is None


def test_redaction_leaves_no_name_in_the_search_text() -> None:
    event = projected(published(an_order(name="Ann Devon"), personal=False))
    assert "devon" not in event.order["search_text"]
    assert "cabrales" in event.order["search_text"]


@pytest.mark.parametrize(
    "word",
    [
        "koniglich",
        "essen",
        "so",
        "10248",
        "so10248",
        "cheese",
        "cheese11",
        "cabrales",
        "koene",
        "maubelstr",
        "0555098",
    ],
)
def test_the_search_text_holds_number_products_customer_and_addresses(word: str) -> None:
    kept = projected(published(an_order())).order["search_text"].split()
    assert begins_words(kept, asked_words(word))


def test_orders_are_grouped_by_the_calendar_of_their_business_time() -> None:
    order = an_order()
    order.place_time.FromJsonString("1996-12-30T23:59:59.999999Z")
    document = projected(published(order)).order
    assert (document["place_day"], document["place_week"], document["place_month"]) == (
        "1996-12-30",
        "1997-W01",
        "1996-12",
    )


def test_a_revision_outranks_the_event_and_not_the_next_version() -> None:
    message = published(an_order(version=5))
    next_message = published(an_order(version=6))
    plain, revised, following = projected(message), projected(message, 1), projected(next_message)
    assert plain.external_version < revised.external_version < following.external_version
    assert revised.order["revision"] == revised.event["revision"] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"order.total": "12"}, "total"),
        ({"order.total": {"currencyCode": "USD", "units": "1"}}, "total"),
        ({"order.total": {"currencyCode": "EUR", "nanos": 1}}, "total"),
        ({"order.version": "two"}, "version"),
        ({"order.version": str(2**63)}, "version"),
        ({"order.onHold": "yes"}, "onHold"),
        ({"order.state": "PAID"}, "state"),
        ({"order.lines": {}}, "lines"),
        ({"order.lines": [1]}, "lines"),
        ({"order.lines": [{"quantity": "x"}]}, r"^payload.order.lines.*.quantity: expected `int`"),
        ({"order.placeTime": "noon"}, "placeTime"),
        ({"order.placeTime": "2026-05-01T00:00:00"}, "placeTime"),
        ({"order.orderNumber": 5}, "orderNumber"),
        ({"order.orderId": "5"}, "orderId"),
        ({"order.shippingAddress": {"addressLines": "x"}}, "addressLines"),
        ({"order": None}, "order"),
    ],
)
def test_a_payload_against_the_contract_is_refused_by_field(changes: dict[str, Any], named: str) -> None:
    message = published(an_order(), personal=False, payload_changes=changes)
    with pytest.raises(ProjectionError, match=named) as refusal:
        projected(message)
    assert refusal.value.reason is Unprojectable.MALFORMED


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"order.state": "ORDER_STATE_LENT"}, "ORDER_STATE_LENT"),
    ],
)
def test_what_the_contract_cannot_express_is_refused(changes: dict[str, Any], named: str) -> None:
    message = published(an_order(), personal=False, payload_changes=changes)
    with pytest.raises(ProjectionError, match=f"^order: .*{named}") as refusal:
        projected(message)
    assert refusal.value.reason is Unprojectable.UNMAPPABLE


def test_an_altered_order_is_named_by_its_fields() -> None:
    document = projected(published(an_order())).order
    altered = types.Order.FromString(document["order"])
    altered.note = "altered"
    altered.lines[0].quantity += 1
    assert _changed_fields({**document, "order": altered.SerializeToString()}, document) == ["order (lines, note)"]
    assert _changed_fields({**document, "order": b"\xff"}, document) == ["order"]
    assert _changed_fields({**document, "total": 0}, document) == ["total"]


def test_an_event_must_carry_its_own_order() -> None:
    message = published(an_order(version=3), payload_changes={"order.version": "4"})
    with pytest.raises(ProjectionError) as refusal:
        projected(message)
    assert refusal.value.reason is Unprojectable.CONTRADICTORY


VERSIONS = {
    order_id: [
        projected(published(an_order(order_id, version), event_id=str(uuid.uuid5(uuid.UUID(order_id), str(version)))))
        for version in range(1, 7)
    ]
    for order_id in ORDER_IDS
}


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[ProjectedEvent], dict[str, list[ProjectedEvent]]]:
    """For each order a subset of its events with the highest among them, all shuffled together, some repeated."""
    chosen = {
        order_id: [*draw(st.lists(st.sampled_from(events[:-1]), unique_by=lambda event: event.version)), events[-1]]
        for order_id, events in VERSIONS.items()
    }
    once = [event for events in chosen.values() for event in events]
    repeated = draw(st.lists(st.sampled_from(once), max_size=10))
    return draw(st.permutations([*once, *repeated])), chosen


@given(deliveries(), st.integers(1, 7))
async def test_any_order_any_repetition_any_subset_with_the_highest_gives_the_same_orders(
    drawn: tuple[list[ProjectedEvent], dict[str, list[ProjectedEvent]]], bulk: int
) -> None:
    delivered, chosen = drawn
    store = MemoryStore()
    for start in range(0, len(delivered), bulk):
        await store.apply(delivered[start : start + bulk])
    for order_id, events in chosen.items():
        [stored] = await store.orders([order_id])
        assert stored.document == VERSIONS[order_id][-1].order
        expected = {event.version: event.event for event in events}
        assert await store.entries(order_id, range(1, 7)) == [expected.get(version) for version in range(1, 7)]
