"""How keys and values of labels are written, and what the refusal of a wrong one says."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from tandem.orders.label_keys import MAX_LABELS, is_label_key
from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.domain import rules
from command_service.handlers.request_rules import validate
from service_runtime.edge.request_validation import InvalidRequest
from tests.support.commands.complete_requests import UUID
from tests.support.commands.imports import import_request
from tests.support.commands.orders import place_order_request

KEYS = (
    *("a", "A", "7", "erp-id", "erp_id", "a.b", "x" * 63, "A.b_c-D", "shop.example.org/id", "a/b", "a-b.c7/Name"),
    *("7/7", f"{'.'.join(['a' * 63] * 3 + ['b' * 61])}/n", f"{'p' * 63}/{'n' * 63}"),
)
NO_KEYS = (
    *("", " ", "-a", "a-", "_a", "a.", "x" * 64, "a b", "ü", "a\n", "a=b", "a,b", "!a", "(a)", '"a"', "a\u0301", "٣"),
    *("/", "/a", "a/", "a/b/c", "A/b", "a_b/c", ".a/b", "a./b", "a..b/c", "-a/b", "a-/b", f"{'a' * 64}/b", "ü/b"),
    f"{'.'.join(['a' * 63] * 3 + ['b' * 62])}/n",
)
VALUES = ("", "4711", "a b", "É", "x" * 256, "🍵" * 256, 'a,"b"=c!(d)\\', "日本-東京")
NO_VALUES = ("x" * 257, " a", "a ", "a\nb", "a\x00", "\u200b", "E\u0301", "a\u202eb")


def wrong(labels: Mapping[str, str], *removed: str) -> dict[str, str]:
    """What is wrong with a LabelOrder that sets and removes these, by field."""
    request = contract.LabelOrderRequest(request_id=UUID, order_id=UUID, set_labels=labels, remove_labels=removed)
    try:
        validate(request)
    except InvalidRequest as invalid:
        return {violation.field: violation.description for violation in invalid.violations}
    return {}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_kubernetes_is_a_key(key: str) -> None:
    assert is_label_key(key)
    assert wrong({key: "v"}) == wrong({}, key) == {}


@pytest.mark.parametrize("key", NO_KEYS)
def test_no_other_text_is_a_key(key: str) -> None:
    assert not is_label_key(key)
    assert repr(key)[:80] in wrong({key: "v"})["set_labels"]
    assert set(wrong({}, key)) == {"remove_labels[0]"}


@pytest.mark.parametrize("value", VALUES)
def test_any_visible_text_is_a_value(value: str) -> None:
    assert wrong({"a": value}) == {}


@pytest.mark.parametrize("value", NO_VALUES)
def test_what_cannot_be_seen_is_no_value(value: str) -> None:
    assert wrong({"a": value})["set_labels"].startswith("has for the key a a value that ")


def test_counts_and_contradictions_are_named() -> None:
    many = {f"k{n}": "" for n in range(33)}
    assert wrong(many) == {"set_labels": "has 33 labels, at most 32 are allowed"}
    assert wrong({}, *many) == {"remove_labels": "has 33 elements, must have 0 to 32"}
    assert wrong({"a": "1", "b": "2"}, "c", "b") == {
        "remove_labels[1]": "is in set_labels too; name a label in one of them"
    }
    assert MAX_LABELS == rules.MAX_LABELS


def test_new_orders_are_checked_alike() -> None:
    for request in (place_order_request(random.Random(1)), import_request(random.Random(1))):
        request.labels.update({"erp/id": "4711", "channel": "web"})
        request.note = "ü" * 2_000
        validate(request)
        request.note += "x"
        request.labels["No/key"] = "x"
        with pytest.raises(InvalidRequest) as invalid:
            validate(request)
        assert {violation.field for violation in invalid.value.violations} == {"labels", "note"}
