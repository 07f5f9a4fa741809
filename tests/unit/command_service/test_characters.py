"""Ids that look equal are equal, nothing that cannot be seen passes for something, and no text forges a line."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.handlers.request_rules import REQUEST_RULES, validate
from service_runtime.edge.characters import forging, hidden, shows_something
from service_runtime.edge.field_checks import text
from service_runtime.edge.request_validation import InvalidRequest, Validator
from tests.support.commands.complete_requests import complete, is_map
from tests.support.commands.wrong_requests import put

#: What machines compare, by request, and whether it must be given.
IDENTIFIERS: list[tuple[Any, str, bool]] = [
    (contract.PlaceOrderRequest, "customer.customer_id", True),
    (contract.PlaceOrderRequest, "lines[0].sku", True),
    (contract.PlaceOrderRequest, "source", False),
    (contract.PlaceOrderRequest, "order_number", False),
    (contract.ReviseOrderRequest, "lines[0].sku", True),
    (contract.RecordPaymentRequest, "method", True),
    (contract.RecordPaymentRequest, "reference", False),
    (contract.RecordPaymentRequest, "payment_id", False),
    (contract.ShipOrderRequest, "shipment_id", False),
    (contract.ShipOrderRequest, "tracking_number", False),
    (contract.RecordDeliveryRequest, "shipment_id", True),
    (contract.ReturnItemsRequest, "return_id", False),
    (contract.RefundOrderRequest, "refund_id", False),
    (contract.RefundOrderRequest, "reference", False),
    (contract.ImportOrdersRequest, "customer.customer_id", True),
    (contract.ImportOrdersRequest, "lines[0].sku", True),
    (contract.ImportOrdersRequest, "source", True),
    (contract.ImportOrdersRequest, "order_number", True),
    (contract.ImportOrdersRequest, "payments[0].payment_id", True),
    (contract.ImportOrdersRequest, "payments[0].method", True),
    (contract.ImportOrdersRequest, "payments[0].reference", False),
    (contract.ImportOrdersRequest, "shipments[0].shipment_id", True),
    (contract.ImportOrdersRequest, "shipments[0].tracking_number", False),
    (contract.RedactCustomerRequest, "customer_id", True),
]
#: What people read.
FREE_TEXTS: list[tuple[Any, str]] = [
    *((contract.PlaceOrderRequest, path) for path in ("reason", "customer.display_name", "customer.phone")),
    *((contract.PlaceOrderRequest, f"shipping_address.{name}") for name in ("locality", "organization", "postal_code")),
    (contract.PlaceOrderRequest, "lines[0].product_name"),
    (contract.ShipOrderRequest, "carrier"),
    (contract.HoldOrderRequest, "reason"),
]
#: Text fields that machines do not compare letter by letter, and those with a form of their own.
NO_IDENTIFIERS = frozenset(
    (
        *("reason", "display_name", "phone", "product_name", "carrier"),
        *("postal_code", "sorting_code", "administrative_area", "locality", "sublocality", "organization"),
        *("address_lines", "recipients", "email", "language_code", "region_code", "currency_code"),
        *("request_id", "order_id", "note", "remove_labels"),
    )
)
#: Characters that show nothing: a text of them alone is empty to everybody who looks.
NOTHING = (
    *(" ", "\u00a0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000", "\u2800", "\u00ad", "\u034f", "\u061c"),
    *("\u115f", "\u1160", "\u17b4", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a"),
    *("\u202e", "\u2060", "\u2063", "\u2066", "\u2069", "\u206f", "\u3164", "\ufe00", "\ufe0f", "\ufeff"),
    *(
        "\uffa0",
        "\ufff9",
        "\ufffc",
        "\ufffe",
        "\U00016fe4",
        "\U0001bca0",
        "\U0001d159",
        "\U0001d173",
        "\U000e0001",
        "\U000e0041",
        "\U000e0100",
    ),
    *("\t", "\n", "\x00", "\x7f", "\x85", "\u2028", "\u2029"),
)
#: Ids that look like ID1 or like nothing, and ids that have a twin.
WRONG_IDENTIFIERS = (
    *(f"{character}ID1" for character in NOTHING),
    *(f"ID1{character}" for character in NOTHING),
    *(f"ID{character}1" for character in NOTHING if character != " "),
    *NOTHING,
    *("\u200b\u200b", " \u3164 ", "  "),
    # Composed these are other letters that look the same, and a mark without a letter is no id.
    *("E\u0301", "\u212b", "\u1100\u1161", "\u0301", "\u0301A", "\u3099か"),
)
RIGHT_IDENTIFIERS = (
    *(
        "ID1",
        "A B",
        "A  B",
        "a-b_c/d.e#1+2=3",
        "Ä",
        "É",
        "Å",
        "가",
        "が",
        "港区",
        "日本-東京",
        "नमस्ते",
        "ภาษาไทย",
        "שלום",
    ),
    *("محمد", "🍵", "½", "№ 5", "x\u0323\u0301", "I", "İ", "ß"),
)
RIGHT_NAMES = (
    *(" Tea ", "A\u00a0B", "علی\u200cرضا", "👩\u200d👧", "☕\ufe0f", "שלום\u200f!", "Zu\u00adcker", "E\u0301"),
    "क्\u200dष",
)
FORGED = (
    *("a\nb", "a\x1b[31m", "a\u2028b", "a\u2029b"),
    *(f"a{chr(code)}b" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
)


def texts_of(message: Any, path: str = "") -> Iterator[str]:
    """Paths of all text fields of a complete request."""
    for field, value in message.ListFields():
        if is_map(field):
            continue  # test_label_rules has keys and values of labels
        if field.message_type is not None:
            yield from texts_of(
                value[0] if field.is_repeated else value, f"{path}{field.name}{'[0]' if field.is_repeated else ''}."
            )
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield f"{path}{field.name}"


def test_every_text_of_every_command_is_an_identifier_or_known_to_be_none() -> None:
    found = {
        (name, path)
        for name in REQUEST_RULES
        for path in texts_of(complete(contract.DESCRIPTOR.message_types_by_name[name.rpartition(".")[2]]))
        if path.rpartition(".")[2] not in NO_IDENTIFIERS
    }
    assert found == {(request_class.DESCRIPTOR.full_name, path) for request_class, path, _ in IDENTIFIERS}


def refused(request: Any, path: str, value: str, validate: Validator = validate) -> bool:
    """Whether the request with this value is refused, and for this field alone."""
    asked = complete(request.DESCRIPTOR)
    put(path, value)(asked)
    try:
        validate(asked)
    except InvalidRequest as refusal:
        return {violation.field for violation in refusal.violations} == {path}
    return False


@pytest.mark.parametrize(("request_class", "path", "required"), IDENTIFIERS)
def test_an_id_has_only_what_can_be_seen(request_class: Any, path: str, required: bool) -> None:
    accepted = [value for value in WRONG_IDENTIFIERS if not refused(request_class, path, value)]
    assert accepted == []
    assert [value for value in RIGHT_IDENTIFIERS if refused(request_class, path, value)] == []
    assert refused(request_class, path, "") == required


def test_what_shows_nothing_is_said_to_be_missing() -> None:
    for value in NOTHING:
        asked = complete(contract.PlaceOrderRequest.DESCRIPTOR)
        asked.customer.customer_id = value
        asked.lines[0].product_name = value
        with pytest.raises(InvalidRequest) as refusal:
            validate(asked)
        said = {violation.field: violation.description for violation in refusal.value.violations}
        assert said == {"customer.customer_id": "is required", "lines[0].product_name": "is required"}


@pytest.mark.parametrize(("request_class", "path"), FREE_TEXTS)
def test_a_name_forges_no_line_and_may_have_what_its_script_needs(request_class: Any, path: str) -> None:
    assert [value for value in FORGED if not refused(request_class, path, value)] == []
    assert [value for value in RIGHT_NAMES if refused(request_class, path, value)] == []


def test_an_e_mail_address_has_only_what_can_be_seen() -> None:
    for value in ("ann@example.org ", "\u200bann@example.org", "ann@exa\u00admple.org", "ann@e\u202example.org"):
        assert refused(contract.PlaceOrderRequest, "customer.email", value)


def every_character() -> Iterator[str]:
    return (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def test_unicode_itself_agrees() -> None:
    """Control, format and space characters are hidden; letters, digits, marks and signs are not, but for fillers."""
    wrong = []
    fillers = {*"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc\U00016fe4\U0001d159"}
    fillers |= {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
    for character in every_character():
        category = unicodedata.category(character)
        unseen = category in {"Cc", "Cf", "Zl", "Zp"} or (category == "Zs" and character != " ") or character in fillers
        shows = not unseen and character != " "
        judged = category[0] in "LMNPSZ" or unseen
        if judged and ((hidden(character) is not None) != unseen or shows_something(character) != shows):
            wrong.append(f"U+{ord(character):04X}")
    assert wrong == []
    assert forging("\u200f") is None


def test_a_rule_for_free_text_lets_look_alikes_through() -> None:
    """Guards the tests above: under the rule for names six customers look like one."""
    name = contract.PlaceOrderRequest.DESCRIPTOR.full_name
    lax = Validator({name: {**REQUEST_RULES[name], "customer.customer_id": text(64, required=True)}}, {})
    alike = ("ID1", "ID1 ", " ID1", "ID1\u00a0", "ID1\u200b", "\u200eID1")
    assert not any(refused(contract.PlaceOrderRequest, "customer.customer_id", value, lax) for value in alike)
