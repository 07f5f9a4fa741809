"""Filters as people fill them in: folding, prefixes, exact bounds; and what they must be."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import Dimension, OrderCriteria, OrderSort
from query_service.handlers.grpc.list_rules import MAX_ALTERNATIVES, MAX_PERCENTILES
from query_service.handlers.grpc.request_rules import validate
from query_service.projection.order_document import OrderDocument
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.wire.order_criteria import _CRITERIA, criteria_of, dimension_value, dimensions_of, sort_of
from service_runtime.edge.request_validation import InvalidRequest
from tests.support.queries.order_events import an_order, published

OTHER = "5f0c7b1e-7c3a-4d6e-9b2a-3f5e8c1d2a4b"


def document() -> OrderDocument:
    order = an_order()
    order.payments.add(payment_id="P", reference="ch_1").amount.CopyFrom(order.freight)
    order.refunds.add(refund_id="R", reference="re_1").amount.CopyFrom(order.freight)
    order.shipments.add(shipment_id="S", tracking_number="1Z 9")
    order.shipments.add(shipment_id="T")
    message = published(order)
    return project(read_event(message.headers, message.body)).order


ORDER = document()


def test_every_field_of_a_filter_sets_a_criterion() -> None:
    assert set(_CRITERIA) == set(contract.OrderFilter.DESCRIPTOR.fields_by_name)


def found(**fields: Any) -> bool:
    return matcher(criteria_of(contract.OrderFilter(**fields)))(ORDER)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("", True),
        ("konig", True),
        ("KÖNIG", True),
        ("königlich essen", True),
        ("essen konig", True),
        ("Kö e", True),
        ("onig", False),
        ("konig nothing", False),
        ("SO-10248", True),
        ("10248", True),
        ("1024", True),
        ("cheese-11", True),
        ("queso cabr", True),
        ("KOENE", True),
        ("Maubelstr. 90", True),
        ("brandenburg 14776", True),
        ("de", True),
        ("philip@koene.example", True),
        ("k" * 100, False),
    ],
)
def test_a_text_finds_what_begins_with_every_word_of_it(text: str, there: bool) -> None:
    assert found(text=text) is there


@given(st.text(max_size=200))
def test_any_text_folds_into_words_that_a_store_can_look_up(text: str) -> None:
    words = criteria_of(contract.OrderFilter(text=text)).words
    for alternatives in words:
        assert all(word and not word.isspace() and word == word.strip() for word in alternatives)
        assert len(alternatives) == len(set(alternatives))
    assert len(words) == len(set(words))


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Zs"]), min_size=1, max_size=80), st.data())
def test_the_beginnings_of_an_orders_words_find_it(name: str, data: st.DataObject) -> None:
    message = published(an_order(name=name))
    order = project(read_event(message.headers, message.body)).order
    words = name.split()
    cut = [word[: data.draw(st.integers(1, len(word)))] for word in words]
    assert matcher(criteria_of(contract.OrderFilter(text=" ".join(data.draw(st.permutations(cut))))))(order)


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"states": [types.ORDER_STATE_PLACED, types.ORDER_STATE_PAID]}, True),
        ({"states": [types.ORDER_STATE_PAID]}, False),
        ({"on_hold": False}, True),
        ({"on_hold": True}, False),
        ({"skus": ["X", "CHEESE-11"]}, True),
        ({"skus": ["cheese-11"]}, False),
        ({"region_codes": ["DE"], "customer_ids": ["KOENE"], "sources": ["webshop"]}, True),
        ({"region_codes": ["DE"], "customer_ids": ["KOENE"], "sources": ["phone"]}, False),
        ({"min_total": Money(currency_code="EUR", units=280, nanos=380_000_000)}, True),
        ({"min_total": Money(currency_code="EUR", units=280, nanos=390_000_000)}, False),
        ({"max_total": Money(currency_code="EUR", units=280, nanos=380_000_000)}, False),
        ({"max_total": Money(currency_code="EUR", units=280, nanos=390_000_000)}, True),
        ({"max_total": Money(currency_code="USD", units=10**6)}, False),
        ({"currency_code": "USD"}, False),
    ],
)
def test_a_filter_finds_what_meets_all_of_it(fields: dict[str, Any], there: bool) -> None:
    assert found(**fields) is there


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
@pytest.mark.parametrize("offset", [-1, 0, 1, 999, 1000])
def test_bounds_in_nanoseconds_are_exact(microsecond: int, offset: int) -> None:
    seconds = 1_000_000_000
    order: OrderDocument = {**ORDER, "place_time": seconds * 1_000_000 + microsecond}
    nanos = seconds * 10**9 + microsecond * 1000 + offset
    bound = Timestamp(seconds=nanos // 10**9, nanos=nanos % 10**9)
    is_from = matcher(criteria_of(contract.OrderFilter(placed_from_time=bound)))(order)
    is_until = matcher(criteria_of(contract.OrderFilter(placed_until_time=bound)))(order)
    assert (is_from, is_until) == (offset <= 0, offset > 0)


def test_an_amount_that_no_order_can_have_is_no_error() -> None:
    huge = Money(currency_code="CLF", units=2**63 - 1)
    assert criteria_of(contract.OrderFilter(min_total=huge)).min_total == 2**63 - 1


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"order_numbers": ["SO-10248"]}, True),
        ({"order_numbers": ["so-10248"]}, False),
        ({"order_numbers": ["SO-10248 "]}, False),
        ({"order_numbers": ["x", "SO-10248"]}, True),
        ({"order_ids": [ORDER["order_id"].upper()]}, True),
        ({"order_ids": [OTHER]}, False),
        ({"payment_references": ["ch_1"]}, True),
        ({"payment_references": ["re_1"]}, True),
        ({"payment_references": ["CH_1"]}, False),
        ({"tracking_numbers": ["1Z 9"]}, True),
        ({"tracking_numbers": ["1Z9"]}, False),
        ({"tracking_numbers": ["1Z 9"], "order_numbers": ["x"]}, False),
        ({"text": "1z9"}, True),
        ({"text": "CH-1"}, True),
        ({"text": "so 10248"}, True),
        ({"text": ORDER["order_id"].replace("-", "").upper()}, True),
        ({"text": ORDER["order_id"][:-1]}, False),
        ({"text": "CH-1", "order_ids": [OTHER]}, False),
    ],
)
def test_who_has_a_number_finds_its_order(fields: dict[str, Any], there: bool) -> None:
    assert found(**fields) is there


def test_every_sort_and_dimension_of_the_contract_is_known() -> None:
    assert {sort_of(sort) for sort in contract.OrderSort.values()} == set(OrderSort)
    assert dimensions_of(contract.OrderDimension.values()[1:]) == tuple(Dimension)
    assert [dimension_value(dimension) for dimension in Dimension] == contract.OrderDimension.values()[1:]


def test_an_empty_filter_asks_for_everything() -> None:
    assert criteria_of(contract.OrderFilter()) == OrderCriteria()


# -- what a request must be --------------------------------------------------------------------------------------------

EUR: dict[str, Any] = {"currency_code": "EUR"}
#: Takes wrong values too.
untyped: Any = contract


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"text": "x" * 201}, "text"),
        ({"text": "?!"}, "text"),
        ({"text": "  "}, "text"),
        ({"text": "*"}, "text"),
        ({"text": "\u200b"}, "text"),
        ({"order_numbers": ["SO-1"]}, None),
        ({"order_numbers": [""]}, "order_numbers"),
        ({"order_numbers": ["x" * 65]}, "order_numbers"),
        ({"order_numbers": ["x"] * (MAX_ALTERNATIVES + 1)}, "order_numbers"),
        ({"order_ids": [ORDER["order_id"].upper()] * MAX_ALTERNATIVES}, None),
        ({"order_ids": [ORDER["order_id"]] * (MAX_ALTERNATIVES + 1)}, "order_ids"),
        ({"order_ids": [ORDER["order_id"].replace("-", "")]}, "order_ids"),
        ({"order_ids": [""]}, "order_ids"),
        ({"payment_references": ["x" * 200]}, None),
        ({"payment_references": ["x" * 201]}, "payment_references"),
        ({"payment_references": [""]}, "payment_references"),
        ({"payment_references": ["x"] * (MAX_ALTERNATIVES + 1)}, "payment_references"),
        ({"tracking_numbers": ["x" * 201]}, "tracking_numbers"),
        ({"tracking_numbers": [""]}, "tracking_numbers"),
        ({"tracking_numbers": ["x"] * (MAX_ALTERNATIVES + 1)}, "tracking_numbers"),
        ({"states": [0]}, "states"),
        ({"states": [99]}, "states"),
        ({"payment_states": [0]}, "payment_states"),
        ({"fulfillment_states": [77]}, "fulfillment_states"),
        ({"customer_ids": [""]}, "customer_ids"),
        ({"customer_ids": ["x" * 64] * MAX_ALTERNATIVES}, None),
        ({"customer_ids": ["x"] * (MAX_ALTERNATIVES + 1)}, "customer_ids"),
        ({"sources": ["x" * 65]}, "sources"),
        ({"skus": [""]}, "skus"),
        ({"region_codes": ["Germany"]}, "region_codes"),
        ({"region_codes": ["de"]}, "region_codes"),
        ({"currency_code": "euro"}, "currency_code"),
        ({"min_total": Money(units=1)}, "min_total"),
        ({"min_total": Money(units=1, nanos=1, **EUR)}, "min_total"),
        ({"max_total": Money(units=1, nanos=-10_000_000, **EUR)}, "max_total"),
        ({"min_total": Money(units=1, **EUR), "currency_code": "USD"}, "currency_code"),
        ({"min_total": Money(units=1, **EUR), "max_total": Money(currency_code="USD", units=2)}, "currency_code"),
        ({"placed_from_time": Timestamp(nanos=-1)}, "placed_from_time"),
        ({"placed_until_time": Timestamp(seconds=253_402_300_800)}, "placed_until_time"),
        ({"updated_from_time": Timestamp(nanos=10**9)}, "updated_from_time"),
        ({"updated_until_time": Timestamp(seconds=-(2**62))}, "updated_until_time"),
    ],
)
def test_a_wrong_filter_is_named(fields: dict[str, Any], wrong: str | None) -> None:
    asked = contract.OrderFilter(**fields)
    by_state = [contract.ORDER_DIMENSION_STATE]
    requests = (
        contract.SearchOrdersRequest(filter=asked),
        contract.SummarizeOrdersRequest(filter=asked, group_by=by_state),
    )
    for request in requests:
        assert violations(request) == ([] if wrong is None else [f"filter.{wrong}"])


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (untyped.SearchOrdersRequest(), []),
        (untyped.SearchOrdersRequest(page_size=2**31 - 1), []),
        (untyped.SearchOrdersRequest(page_size=-1, facets=[0]), ["page_size", "facets"]),
        (untyped.SearchOrdersRequest(facets=[3, 3]), ["facets"]),
        (untyped.SearchOrdersRequest(sort=55), ["sort"]),
        (untyped.SearchOrdersRequest(view=1), []),
        (untyped.SearchOrdersRequest(view=3), ["view"]),
        (untyped.SummarizeOrdersRequest(), ["group_by"]),
        (untyped.SummarizeOrdersRequest(group_by=[1, 2, 3, 4]), ["group_by"]),
        (untyped.SummarizeOrdersRequest(group_by=[9]), ["group_by"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], percentiles=[100.1]), ["percentiles"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], percentiles=[float("nan")]), ["percentiles"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], percentiles=[0, 100, 99.9]), []),
        (untyped.SummarizeOrdersRequest(group_by=[1], percentiles=[50] * (MAX_PERCENTILES + 1)), ["percentiles"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], max_groups=1001), ["max_groups"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], time_zone="Europe/Berlin"), []),
        (untyped.SummarizeOrdersRequest(group_by=[1], time_zone="Europe/Atlantis"), ["time_zone"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], time_zone="europe/berlin"), ["time_zone"]),
        (untyped.SummarizeOrdersRequest(group_by=[1], time_zone="../zones"), ["time_zone"]),
        (untyped.BatchGetOrdersRequest(), ["order_ids"]),
        (untyped.BatchGetOrdersRequest(order_ids=["018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"] * 200), []),
        (untyped.BatchGetOrdersRequest(order_ids=["018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"] * 201), ["order_ids"]),
        (untyped.BatchGetOrdersRequest(order_ids=["7"]), ["order_ids"]),
        (untyped.GetOrderHistoryRequest(order_id="7", page_size=-1), ["order_id", "page_size"]),
        (untyped.GetCustomerSummaryRequest(), ["customer_id"]),
        (untyped.GetCustomerSummaryRequest(customer_id="x" * 65), ["customer_id"]),
        (untyped.SummarizePaymentsRequest(), ["group_by"]),
        (untyped.SummarizePaymentsRequest(group_by=[1, 4, 5], time_zone="Asia/Tokyo", max_groups=10_000), []),
        (untyped.SummarizePaymentsRequest(group_by=[0], max_groups=10_001), ["group_by", "max_groups"]),
        (
            untyped.SummarizePaymentsRequest(group_by=[1], time_zone="Tokyo", currency_code="eur", methods=[""]),
            ["methods", "currency_code", "time_zone"],
        ),
        (untyped.GetReadModelStatusRequest(), []),
    ],
)
def test_a_wrong_question_is_named(request_: Any, wrong: list[str]) -> None:
    assert violations(request_) == wrong


def violations(request: Any) -> list[str]:
    try:
        validate(request)
    except InvalidRequest as invalid:
        return [violation.field for violation in invalid.violations if violation.description]
    return []
