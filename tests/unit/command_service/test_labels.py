"""Labels and notes: what LabelOrder changes, what it refuses, and that a payload never has any of them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from google.protobuf.json_format import Parse, ParseError
from tandem.orders.v1.order_command_service_pb2 import LabelOrderRequest
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderPersonalData

from command_service.application.command_call import CommandCall
from command_service.application.ports import Description
from command_service.domain import rules
from command_service.domain.commands import LabelOrder
from command_service.domain.decision import changes_nothing
from command_service.domain.decisions import decide
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderLabelled
from command_service.domain.labels import NO_LABELS, Labels
from command_service.wire import order_json
from command_service.wire.commands import COMMANDS
from command_service.wire.representation import ContractRepresentation
from tests.support.commands.domain_orders import (
    NOW,
    ORDER_ID,
    after,
    cancel,
    decision,
    full_order,
    label,
    move_to,
    placed,
)
from tests.support.commands.refusals import Refused
from tests.support.source_mutants import Mutant, noticed

MANY = Labels({f"k{n}": "v" for n in range(rules.MAX_LABELS)})
LABELLED = placed(labels=Labels({"erp/id": "4711", "channel": "shop-7"}), note="ring twice")
CALL = CommandCall("shop", UUID(int=7), b"")
SECRETS = ("4711", "erp/id", "shop-7", "channel", "ring twice", "4712", "new note")


def test_labels_are_sorted_immutable_and_equal_by_content() -> None:
    labels = Labels({"b": "1", "a": "2"})
    assert list(labels.items()) == [("a", "2"), ("b", "1")]
    assert labels == Labels([("a", "2"), ("b", "1")]) == {"a": "2", "b": "1"}
    assert hash(labels) == hash(Labels({"a": "2", "b": "1"}))
    assert labels.changed({"c": "3"}, ("b", "never")) == {"a": "2", "c": "3"}
    assert labels.replaced_by(Labels({"a": "2", "b": "9", "c": "3"})) == {"b": "1"}
    assert "a" in labels
    assert not NO_LABELS


def test_a_new_order_has_them() -> None:
    assert dict(LABELLED.labels) == {"erp/id": "4711", "channel": "shop-7"}
    assert LABELLED.note == "ring twice"


def test_labels_are_set_and_removed_and_the_rest_stays() -> None:
    event = decide(LABELLED, label(removed=("channel", "never"), tier="gold"), NOW).event
    assert event == OrderLabelled(
        Labels({"erp/id": "4711", "tier": "gold"}), "ring twice", Labels({"channel": "shop-7"}), None, NOW
    )
    changed = decide(LABELLED, LabelOrder(ORDER_ID, Labels({"erp/id": "4712"}), note=""), NOW)
    assert isinstance(changed.event, OrderLabelled)
    assert (dict(changed.event.previous_labels), changed.event.previous_note) == ({"erp/id": "4711"}, "ring twice")
    assert (dict(changed.order.labels), changed.order.note) == ({"erp/id": "4712", "channel": "shop-7"}, "")
    assert changed.order.version == LABELLED.version + 1


@pytest.mark.parametrize(
    "command",
    [
        label(),
        label(channel="shop-7"),
        label(removed=("never",)),
        label(note="ring twice"),
    ],
)
def test_what_changes_nothing_is_no_event(command: LabelOrder) -> None:
    assert changes_nothing(LABELLED, decide(LABELLED, command, NOW))


def test_the_number_of_labels_is_that_after_the_change() -> None:
    full = placed(labels=MANY)
    assert len(after(full, label(removed=("k1",), new="v")).labels) == rules.MAX_LABELS
    assert len(after(full, label(k1="other")).labels) == rules.MAX_LABELS


REFUSED = {
    "too many at once": Refused(rules.LABEL_COUNT, placed(), LabelOrder(ORDER_ID, MANY.changed({"one-more": ""}, ()))),
    "one too many": Refused(rules.LABEL_COUNT, placed(labels=MANY), label(x=""), {"labels": "33"}),
    "labelling redacted": Refused(rules.LABEL_UNREDACTED_ONLY, replace(placed(), redacted=True), label(a="b")),
    "no change of redacted": Refused(rules.LABEL_UNREDACTED_ONLY, replace(placed(), redacted=True), label()),
    "moving redacted": Refused(rules.ADDRESS_UNREDACTED_ONLY, replace(placed(), redacted=True), move_to("FR")),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refusals(refused: Refused) -> None:
    refused.check()


def test_a_new_order_with_too_many_is_refused() -> None:
    with pytest.raises(RuleViolated) as refused:
        placed(labels=MANY.changed({"x": ""}, ()))
    assert refused.value.rule is rules.LABEL_COUNT


def test_every_state_can_be_labelled() -> None:
    for order in (full_order(), after(placed(), cancel())):
        assert after(order, label(late="yes")).labels["late"] == "yes"


def described() -> Description:
    """What is stored and answered when a label and the note of an order change."""
    made = decision(LABELLED, LabelOrder(ORDER_ID, Labels({"erp/id": "4712"}), ("channel",), "new note"))
    return ContractRepresentation(900_000).describe(CALL, UUID(int=1), made, 3)


def check_labels_are_personal() -> None:
    stored = described()
    assert not any(secret in stored.payload for secret in SECRETS)
    assert all(secret in stored.personal for secret in SECRETS)
    payload, personal = Parse(stored.payload, OrderEvent()), Parse(stored.personal, OrderPersonalData())
    assert payload.WhichOneof("change") == "order_labelled"
    assert (dict(personal.labels), personal.note) == ({"erp/id": "4712"}, "new note")
    assert dict(personal.previous_labels) == {"erp/id": "4711", "channel": "shop-7"}
    assert personal.previous_note == "ring twice"


def test_labels_and_note_are_personal_data() -> None:
    check_labels_are_personal()


@pytest.mark.mutant
@pytest.mark.parametrize("left", ["dict(order.labels)", "order.note"])
def test_a_label_left_in_the_payload_is_noticed(left: str) -> None:
    redacted = "if order.redacted:"
    leak = f"yield '\"leak\":' + __import__('json').dumps({left}, ensure_ascii=False)\n    {redacted}"
    with noticed(Mutant(order_json._order, redacted, leak), or_raises=(ParseError,)):
        check_labels_are_personal()


def test_a_request_becomes_the_command_it_says() -> None:
    request = LabelOrderRequest(order_id=str(ORDER_ID), set_labels={"b": "2", "a": "1"}, remove_labels=["c"])
    assert COMMANDS["LabelOrder"](request, CALL.derived_id) == label(removed=("c",), a="1", b="2")
    request.note = ""
    assert COMMANDS["LabelOrder"](request, CALL.derived_id) == label(removed=("c",), a="1", b="2", note="")
