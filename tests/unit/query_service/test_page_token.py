"""Page tokens: what went in comes out, for the same question only; everything else is refused as malformed."""

import base64
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.application.ports.errors import PageTokenMalformed
from query_service.application.ports.label_conditions import LabelCondition
from query_service.application.ports.order_questions import OrderCriteria, OrderSort
from query_service.application.questions.page_token import (
    history_fingerprint,
    list_fingerprint,
    place_value,
    read_page_token,
    write_page_token,
)

CRITERIA = OrderCriteria(words=(("konig",),), states=("PAID", "PLACED"), min_total=100, currency_code="EUR")
FINGERPRINT = list_fingerprint(CRITERIA, OrderSort.TOTAL_DESC)
TOKEN = write_page_token(FINGERPRINT, {"k": -5, "o": "018f6b1e", "m": "g1:7"})


@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**63), 2**63 - 1) | st.text(max_size=64), max_size=4))
def test_what_went_in_comes_out(place: dict[str, int | str]) -> None:
    assert read_page_token(write_page_token(FINGERPRINT, place), FINGERPRINT) == place


def test_every_damage_is_noticed() -> None:
    for index, character in enumerate(TOKEN):
        other = "A" if character != "A" else "B"
        for damaged in (TOKEN[:index] + other + TOKEN[index + 1 :], TOKEN[:index] + TOKEN[index + 1 :]):
            try:
                assert read_page_token(damaged, FINGERPRINT) == read_page_token(TOKEN, FINGERPRINT)
            except PageTokenMalformed:
                continue
            # The last letter of base64 has bits that mean nothing.
            assert index == len(TOKEN) - 1


@given(st.text() | st.text("ABCabc012-_", max_size=80).map("p1.".__add__))
def test_any_text_is_a_token_of_ours_or_refused(text: str) -> None:
    with pytest.raises(PageTokenMalformed):
        read_page_token(text, FINGERPRINT)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'["x"]', b'["x",7]', b'{"x":1,"y":2}', b"[" * 5000])
def test_a_right_checksum_is_not_enough(body: bytes) -> None:
    raw = body + zlib.crc32(body).to_bytes(4)
    with pytest.raises(PageTokenMalformed):
        read_page_token("p1." + base64.urlsafe_b64encode(raw).decode(), FINGERPRINT)


@pytest.mark.parametrize(
    "other",
    [
        list_fingerprint(CRITERIA, OrderSort.TOTAL_ASC),
        list_fingerprint(replace(CRITERIA, words=()), OrderSort.TOTAL_DESC),
        list_fingerprint(replace(CRITERIA, min_total=101), OrderSort.TOTAL_DESC),
        list_fingerprint(replace(CRITERIA, on_hold=False), OrderSort.TOTAL_DESC),
        list_fingerprint(replace(CRITERIA, states=(), payment_states=("PAID", "PLACED")), OrderSort.TOTAL_DESC),
        history_fingerprint("018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"),
    ],
)
def test_a_token_belongs_to_one_question(other: str) -> None:
    with pytest.raises(PageTokenMalformed, match="another question"):
        read_page_token(TOKEN, other)


def test_alternatives_in_another_order_are_the_same_question() -> None:
    again = replace(CRITERIA, states=("PLACED", "PAID", "PLACED"))
    assert list_fingerprint(again, OrderSort.TOTAL_DESC) == FINGERPRINT


def test_no_field_of_the_criteria_is_left_out_of_the_fingerprint() -> None:
    other: dict[str, Any] = {"AskedWords": (("x",),), "tuple[str, ...]": ("x",), "str": "x", "int | None": 7}
    other |= {"bool | None": True, "tuple[LabelCondition, ...]": (LabelCondition("x"),)}
    changes: dict[str, Any] = {
        name: other[str(field.type)] for name, field in OrderCriteria.__dataclass_fields__.items()
    }
    prints = {list_fingerprint(OrderCriteria(**{name: value}), OrderSort.TOTAL_ASC) for name, value in changes.items()}
    assert len(prints) == len(changes)


@pytest.mark.parametrize(("name", "kinds"), [("k", (str,)), ("o", (int,)), ("missing", (int, str)), ("yes", (int,))])
def test_a_place_holds_what_is_expected(name: str, kinds: tuple[type, ...]) -> None:
    with pytest.raises(PageTokenMalformed):
        place_value({"k": 5, "o": "id", "yes": True}, name, *kinds)
