"""What a projector remembers from one event to the next never gets into another order's documents."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from query_service.projection.project import project
from query_service.projection.proto_json import enum, microseconds
from query_service.projection.stream_event import read_event
from query_service.projection.words.stored import search_text
from query_service.storage.physical.erasing import document_lines
from tests.support.queries.order_events import START, an_order, published, timestamp
from tests.support.source_mutants import Mutant, noticed

_FIRST = "__dict__.setdefault('first', {})"


def check_times() -> None:
    """The second order differs by one second; what is shown has the time too."""
    for time in (START, START + timedelta(seconds=1)):
        order = an_order(str(uuid.uuid4()))
        order.place_time.CopyFrom(timestamp(time))
        message = published(order)
        document = project(read_event(message.headers, message.body)).order
        assert document["place_time"] == time.timestamp() * 1_000_000
        assert order.place_time.SerializeToString() in document["order"]


def check_lines() -> None:
    for index in ("orders", "order-events", 'a "quoted" one'):
        for version in (1, 2**63 - 1):
            action, document, end = document_lines(index, "id/1", version, {"a": "ä"}).split(b"\n")
            assert json.loads(action) == {
                "index": {"_index": index, "_id": "id/1", "version": version, "version_type": "external"}
            }
            assert (json.loads(document), end) == ({"a": "ä"}, b"")


def check_states() -> None:
    assert [enum(f"ORDER_STATE_{state}", "state", "ORDER_STATE_") for state in ("PLACED", "CANCELLED")] == [
        "PLACED",
        "CANCELLED",
    ]
    assert enum("PAYMENT_STATE_PAID", "paymentState", "PAYMENT_STATE_") == "PAID"


def check_words() -> None:
    for name, words in (("Clock, large", "clock large"), ("Lamp, small", "lamp small")):
        assert search_text([], common_texts=[name]) == words


CHECKS = (check_times, check_lines, check_states, check_words)
MUTANTS: dict[str, tuple[Mutant, Callable[[], None]]] = {
    "another order's time": (
        Mutant(microseconds, "_microseconds(value)", f"_microseconds.{_FIRST}.setdefault(0, _microseconds(value))"),
        check_times,
    ),
    "another index": (
        Mutant(document_lines, "_into(index)", f"_into.{_FIRST}.setdefault(0, _into(index))"),
        check_lines,
    ),
    "another order's state": (
        Mutant(
            enum,
            "return value[len(prefix) :]",
            f"return enum.{_FIRST}.setdefault(prefix, value[len(prefix) :])",
        ),
        check_states,
    ),
    "another order's words": (
        Mutant(
            search_text,
            "words += _common_text(text)",
            f"words += search_text.{_FIRST}.setdefault(0, _common_text(text))",
        ),
        check_words,
    ),
}


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_remembered_is_of_the_same_value(check: Callable[[], None]) -> None:
    check()


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_value_of_another_order_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    enum.cache_clear()
    try:
        with noticed(at_work):
            check()
    finally:
        enum.cache_clear()
