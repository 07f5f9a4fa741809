"""Folding of words: case and accents do not matter, scripts stay whole."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.projection import folding
from query_service.projection.folding import MAX_WORD_LENGTH, fold, search_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Königlich Essen", ["koniglich", "essen"]),
        ("Straße", ["strasse"]),
        ("STRASSE", ["strasse"]),
        ("Ærøskøbing", ["aeroskobing"]),
        ("Łódź", ["lodz"]),
        ("İstanbul", ["istanbul"]),
        ("SO-10248/B", ["so", "10248", "b"]),
        ("philip@koene.example", ["philip", "koene", "example"]),
        ("ﬁne Ⅳ ²", ["fine", "iv", "2"]),
        ("O'Brien", ["o", "brien"]),
        ("東京 ｔｏｋｙｏ", ["東京", "tokyo"]),
        ("हिन्दी", fold("हिन्दी")),
        ("", []),
        (" --- ", []),
    ],
)
def test_words_are_folded(text: str, words: list[str]) -> None:
    assert fold(text) == words


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_gives_what_the_long_way_gives(text: str) -> None:
    assert [*fold(text), "e"] == fold(f"{text} é")


@given(st.text())
def test_letter_by_letter_gives_what_the_whole_text_gives(text: str) -> None:
    whole = [word[:MAX_WORD_LENGTH] for word in folding._folded(text).split()]
    assert fold(text) == whole


def test_vowel_signs_do_not_cut_a_word() -> None:
    assert len(fold("कीमत")) == 1


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(" ".join(fold(text))) == fold(text)


@given(st.text())
def test_decomposed_and_composed_text_fold_alike(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@given(st.text())
def test_words_have_no_white_space_and_a_bounded_length(text: str) -> None:
    for word in fold(text):
        assert word.split() == [word]
        assert len(word) <= MAX_WORD_LENGTH


def test_search_text_keeps_each_word_once() -> None:
    assert search_text(["Königlich Essen", "essen KONIGLICH", "Berlin"]) == "koniglich essen berlin"
