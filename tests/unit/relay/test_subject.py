"""Subjects from templates, and which stream subjects take them."""

import pytest

from relay.events.errors import Unpublishable
from relay.events.subject import SubjectTemplate, takes


def test_fills_and_caches() -> None:
    template = SubjectTemplate("orders.v1.{partition}.{event_type}")
    assert template.subject(7, "ORDER_CREATED", "order") == b"orders.v1.7.ORDER_CREATED"
    assert template.subject(7, "ORDER_CREATED", "order") == b"orders.v1.7.ORDER_CREATED"
    assert template.subject(7, "order.created", "order") == b"orders.v1.7.order.created"
    assert template.filters == ["orders.v1.>"]
    assert SubjectTemplate("all.events").filters == ["all.events"]
    assert SubjectTemplate("a.x{partition}.b").filters == ["a.>"]


@pytest.mark.parametrize("bad", ["", "a b", "a..b", ".a", "a.", "a*", "*", ">", "a.>", "a\r\nPUB x 0", "tab\t", "\x00"])
def test_an_event_type_that_breaks_a_subject_is_unpublishable(bad: str) -> None:
    with pytest.raises(Unpublishable, match="event_type"):
        SubjectTemplate("orders.{event_type}").subject(0, bad, "order")


def test_only_what_stands_in_the_template_must_fit() -> None:
    assert SubjectTemplate("orders.{event_type}").subject(0, "CREATED", "any thing > at all") == b"orders.CREATED"


@pytest.mark.parametrize("bad", ["{partition}.x", "a.{nothing}", "a b.{partition}", "a..{partition}", "a.{", "a.>", ""])
def test_refuses_templates(bad: str) -> None:
    with pytest.raises(ValueError):
        SubjectTemplate(bad)


@pytest.mark.parametrize(
    ("have", "want", "answer"),
    [
        ("orders.>", "orders.v1.>", True),
        ("orders.v1.>", "orders.v1.>", True),
        ("orders.v1.>", "orders.v1.barrier", True),
        ("orders.*.barrier", "orders.v1.barrier", True),
        ("orders.v1.*", "orders.v1.>", False),
        ("orders.v1", "orders.v1.>", False),
        ("orders.v1.>", "orders.>", False),
        ("orders.v1.>", "orders.v1", False),
        ("orders.v2.>", "orders.v1.>", False),
        (">", "orders.v1.>", True),
    ],
)
def test_which_subjects_a_stream_takes(have: str, want: str, answer: bool) -> None:
    assert takes(have, want) is answer


def test_knows_which_subjects_events_may_get() -> None:
    template = SubjectTemplate("orders.v1.{partition}.{event_type}")
    assert not template.may_produce("orders.v1.barrier")
    assert template.may_produce("orders.v1.3.barrier")
    assert SubjectTemplate("orders.{event_type}").may_produce("orders.barrier")
