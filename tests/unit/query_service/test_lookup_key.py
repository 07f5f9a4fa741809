"""Numbers as people type them: which writings are one number, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.projection.lookup_key import lookup_key

SAME = {
    "J1NXP-11JMY-JT2TW": ("j1nxp-11jmy-jt2tw", "J1NXP11JMYJT2TW", " J1NXP 11JMY JT2TW ", "J1NXP\u201111JMY\u2011JT2TW"),
    "b11dd591-84f8-4c3a-9c5e-0d6a7b1e2f30": (
        "B11DD591-84F8-4C3A-9C5E-0D6A7B1E2F30",
        "{b11dd59184f84c3a9c5e0d6a7b1e2f30}",
    ),
    "ch_3PqLx2": ("CH_3pqlx2", "ch 3PqLx2", "ch\u200b_3PqLx2", "\ufeffch_3PqLx2"),
    "1Z 999 AA1 01": ("1z999aa101", "１Ｚ999AA101", "1Z-999-AA1-01"),
    "RE/2024/0815": ("re20240815", "RE-2024-0815", "RE ٢٠٢٤ ٠٨١٥"),
    "Rückgabe-7": ("RÜCKGABE 7", "ru\u0308ckgabe7"),
    "तिथि-7": ("तिथि 7", "तिथि\u200d७"),
    "한글-3": ("한글3", "한\u3164글-３", "\u1112\u1161\u11ab글 3"),
    "注文-12": ("注文12", "注文１２"),
}
DIFFERENT = (
    ("SO-10248", "SO-10249"),
    ("SO-10248", "O-10248"),
    ("SO-1", "SO-10"),
    ("Rückgabe-7", "Ruckgabe-7"),
    ("東京-1", "京東-1"),
    ("तिथि-7", "तीथा-7"),
    ("กิน-1", "กีน-1"),
    ("かき-1", "がき-1"),
)


@pytest.mark.parametrize("number", SAME)
def test_writings_of_one_number_have_one_key(number: str) -> None:
    assert {lookup_key(writing) for writing in SAME[number]} == {lookup_key(number)}


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_numbers_have_other_keys(one: str, other: str) -> None:
    assert lookup_key(one) != lookup_key(other)


@pytest.mark.parametrize("text", ["", " ", "*", "?!", "\u200b", "🙂", "-_/"])
def test_what_has_neither_letter_nor_digit_has_no_key(text: str) -> None:
    assert lookup_key(text) == ""


@given(st.text(max_size=60))
def test_a_key_is_its_own_key(text: str) -> None:
    key = lookup_key(text)
    assert lookup_key(key) == key
    assert key[:1].isalnum() or not key


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_the_quick_way_for_ascii_is_the_way_for_all(text: str) -> None:
    assert lookup_key(text + "ß").removesuffix("ss") == lookup_key(text)
