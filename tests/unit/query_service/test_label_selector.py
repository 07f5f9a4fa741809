"""Label selectors: Kubernetes' syntax, values in quotes, and refusals that name the character."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.v1.order_query_service_pb2 import SearchOrdersRequest
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.ports.label_conditions import LabelCondition
from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import OrderCriteria
from query_service.handlers.grpc.list_rules import MAX_SELECTOR_LENGTH
from query_service.handlers.grpc.request_rules import validate
from query_service.projection.order_document import OrderDocument
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from query_service.wire.label_selector import MAX_CONDITIONS, WrongSelector, label_conditions
from service_runtime.edge.request_validation import InvalidRequest
from tests.support.queries.order_events import an_order, published
from tests.support.source_mutants import Mutant, noticed

A_B, NOT_A_B = LabelCondition("a", ("b",)), LabelCondition("a", ("b",), negated=True)
SELECTORS: dict[str, tuple[LabelCondition, ...]] = {
    "": (),
    "   ": (),
    "a=b": (A_B,),
    "a==b": (A_B,),
    " a = b ": (A_B,),
    "a!=b": (NOT_A_B,),
    "a != b": (NOT_A_B,),
    "a in (b)": (A_B,),
    "a in(c,b,c)": (LabelCondition("a", ("b", "c")),),
    "a notin ( c , b )": (LabelCondition("a", ("b", "c"), negated=True),),
    "a in (b,)": (LabelCondition("a", ("", "b")),),
    "a in ()": (LabelCondition("a", ("",)),),
    "a": (LabelCondition("a"),),
    "!a": (LabelCondition("a", negated=True),),
    "! a": (LabelCondition("a", negated=True),),
    "a=": (LabelCondition("a", ("",)),),
    "a=,b": (LabelCondition("a", ("",)), LabelCondition("b")),
    "a!=": (LabelCondition("a", ("",), negated=True),),
    "in in (in)": (LabelCondition("in", ("in",)),),
    "notin": (LabelCondition("notin"),),
    "a=b,c": (A_B, LabelCondition("c")),
    "shop.example.org/a-b_c=x/y:z": (LabelCondition("shop.example.org/a-b_c", ("x/y:z",)),),
    'a="b"': (A_B,),
    'a=""': (LabelCondition("a", ("",)),),
    'a="x, (y) = !z"': (LabelCondition("a", ("x, (y) = !z",)),),
    r'a="say \"hi\" \\ there"': (LabelCondition("a", (r'say "hi" \ there',)),),
    r"a=b\c": (LabelCondition("a", (r"b\c",)),),
    'a in ("x y",b)': (LabelCondition("a", ("b", "x y")),),
    "a=Ä日本": (LabelCondition("a", ("Ä日本",)),),
    "x=1,y!=2,e in (p,q),f notin (z),g,!h": (
        LabelCondition("x", ("1",)),
        LabelCondition("y", ("2",), negated=True),
        LabelCondition("e", ("p", "q")),
        LabelCondition("f", ("z",), negated=True),
        LabelCondition("g"),
        LabelCondition("h", negated=True),
    ),
}
#: Selector → what its refusal says.
WRONG = {
    ",": "needs the key of a label at character 1, but there is ','",
    "a,": "needs the key of a label at character 3, but it ends there",
    "a,,b": "needs the key of a label at character 3, but there is ','",
    "=b": "needs the key of a label at character 1, but there is '='",
    "!": "needs the key of a label at character 2, but it ends there",
    "!!a": "needs the key of a label at character 2, but there is '!'",
    "-a=b": "needs the key of a label at character 1, but there is '-a'",
    "a/b/c": "needs the key of a label at character 1, but there is 'a/b/c'",
    "Ä=b": "needs the key of a label at character 1, but there is 'Ä'",
    '"a"=b': "needs the key of a label at character 1, but there is 'a'",
    "a b": "needs =, ==, !=, in, notin, a comma or the end at character 3, but there is 'b'",
    "a (b)": "needs =, ==, !=, in, notin, a comma or the end at character 3, but there is '('",
    "a In (b)": "needs =, ==, !=, in, notin, a comma or the end at character 3, but there is 'In'",
    "a=b c": "needs a comma or the end at character 5, but there is 'c'",
    "a=b=c": "needs a comma or the end at character 4, but there is '='",
    "!a=b": "needs a comma or the end at character 3, but there is '='",
    "a===b": "needs a value at character 4, but there is '='",
    "a in b": "needs ( at character 6, but there is 'b'",
    "a in": "needs ( at character 5, but it ends there",
    "a in (b": "needs ) at character 8, but it ends there",
    "a in (b c)": "needs ) at character 9, but there is 'c'",
    "a in (b)c": "needs a comma or the end at character 9, but there is 'c'",
    'a="b': "needs a value whose quotes are closed at character 3, but there is '\"'",
    "a=" + "x" * 257: "needs a value of at most 256 characters at character 3, but there is 'xxxxxxxxxxxxxxxxxxxx'",
    ",".join(["a"] * 33): "has 33 conditions, at most 32 are allowed",
}


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_is_read(selector: str) -> None:
    assert label_conditions(selector) == SELECTORS[selector]


@pytest.mark.parametrize("selector", WRONG)
def test_a_wrong_selector_is_refused_at_its_character(selector: str) -> None:
    with pytest.raises(WrongSelector) as refused:
        label_conditions(selector)
    assert str(refused.value) == WRONG[selector]


@given(st.text('ab=!,() inot"\\/.', max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(WrongSelector):
        assert len(label_conditions(text)) <= MAX_CONDITIONS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_value_can_be_written_in_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert label_conditions(f'a="{quoted}",b') == (LabelCondition("a", (value,)), LabelCondition("b"))


def test_requests_are_refused_by_field() -> None:
    def wrong(**fields: str) -> list[tuple[str, str]]:
        request = SearchOrdersRequest(facet_label_key=fields.get("facet", ""))
        request.filter.label_selector = fields.get("selector", "")
        try:
            validate(request)
        except InvalidRequest as invalid:
            return [(violation.field, violation.description) for violation in invalid.violations]
        return []

    assert wrong(selector="a in (b,c)", facet="erp/id") == []
    assert wrong(selector="a=b=c") == [("filter.label_selector", WRONG["a=b=c"])]
    too_long = "a" * (MAX_SELECTOR_LENGTH + 1)
    assert wrong(selector=too_long)[0][1] == "has 2001 characters, at most 2000 are allowed"
    assert [field for field, _ in wrong(facet="a b")] == ["facet_label_key"]


def document(**labels: str) -> OrderDocument:
    order = an_order()
    order.labels.update(labels)
    message = published(order)
    return project(read_event(message.headers, message.body)).order


def check_conditions() -> None:
    with_b, with_c, without = document(a="b"), document(a="c"), document(other="b")
    expected = {
        "a=b": [with_b],
        "a!=b": [with_c, without],
        "a in (b,c)": [with_b, with_c],
        "a notin (b,c)": [without],
        "a": [with_b, with_c],
        "!a": [without],
        "a,a!=b": [with_c],
        "a=b,!a": [],
        "a=B": [],
    }
    for selector, found in expected.items():
        matches = matcher(OrderCriteria(labels=label_conditions(selector)))
        assert [each for each in (with_b, with_c, without) if matches(each)] == found, selector


def test_an_order_must_meet_every_condition() -> None:
    check_conditions()


@pytest.mark.mutant
def test_not_equal_without_the_orders_that_lack_the_key_is_noticed() -> None:
    there = 'self.key in document.get("label_keys", ()) and found != self.negated'
    with noticed(Mutant(LabelCondition.holds, "found != self.negated", there)):
        check_conditions()


def test_a_document_without_labels_has_none_of_their_fields() -> None:
    bare = document()
    assert not {"label_pairs", "label_keys"} & bare.keys()
    full = document(b="2", a="x=y")
    for view in (full["order"], full["basic_order"]):
        assert Order.FromString(view).labels == {"a": "x=y", "b": "2"}
    assert (full["label_pairs"], full["label_keys"]) == (["a=x=y", "b=2"], ["a", "b"])
    assert "xy" in full["lookup_keys"]
    assert full["search_text"] == bare["search_text"]
