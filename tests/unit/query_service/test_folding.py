"""Folding of words: case and accents do not matter, scripts stay whole."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.projection.words import folding, letters
from query_service.projection.words.asked import asked_words, begins_words
from query_service.projection.words.folding import MAX_WORD_LENGTH, fold
from query_service.projection.words.stored import search_text


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
        ("O'Brien", ["obrien"]),
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
def test_what_is_remembered_or_plain_is_what_folding_gives(text: str) -> None:
    whole = letters.fold_any_letters(text).encode().translate(folding._WORDS).decode()
    assert fold(text) == [word for chain in whole.split() if (word := chain.replace("'", ""))]


@given(st.text())
def test_plain_runs_need_no_folding(text: str) -> None:
    for run in letters.PLAIN_RUN.findall(text):
        assert letters.fold_any_letters(run) == run


def test_vowel_signs_do_not_cut_a_word() -> None:
    assert len(fold("कीमत")) == 1


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    once = folding.chains(text)
    assert folding.chains(once).split() == once.split()


@given(st.text())
def test_decomposed_and_composed_text_fold_alike(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@given(st.text())
def test_what_is_kept_and_asked_has_no_white_space_and_a_bounded_length(text: str) -> None:
    kept = search_text([text], codes=[text], phones=[text]).split(" ")
    asked = [word for alternatives in asked_words(text) for word in alternatives]
    for word in (*kept, *asked) if kept != [""] else asked:
        assert word.split() == [word]
        assert len(word) <= MAX_WORD_LENGTH


@given(st.text())
def test_every_text_finds_itself(text: str) -> None:
    asked = asked_words(text)
    assert begins_words(search_text([text]).split(), asked)
    assert begins_words(search_text([], codes=[text]).split(), asked)


@given(st.text())
def test_what_has_words_asks_for_some(text: str) -> None:
    assert bool(fold(text)) == bool(asked_words(text))


@given(st.text(st.sampled_from("+-/.() 0123456789"), max_size=100))
def test_every_phone_number_finds_itself(text: str) -> None:
    assert begins_words(search_text([], phones=[text]).split(), asked_words(text))


@given(st.text(st.characters(categories=["Cs", "Cc", "Co", "Cn", "Lo"]), max_size=5))
def test_what_no_text_can_hold_is_no_word(text: str) -> None:
    search_text([text], codes=[text]).encode()


def test_joints_alone_are_no_word() -> None:
    assert search_text(["' ’"], codes=["---", "'"], phones=["-"]) == ""


def test_search_text_keeps_each_word_once() -> None:
    assert search_text(["Königlich Essen", "essen KONIGLICH", "Berlin"]) == "koniglich essen berlin"
