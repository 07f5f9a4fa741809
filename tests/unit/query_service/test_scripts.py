"""The tables of scripts against what Unicode calls its characters."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache

import pytest

from query_service.projection.words import runs, scripts
from query_service.projection.words.folding import fold

pytestmark = pytest.mark.skipif(
    unicodedata.unidata_version != scripts.UNICODE, reason="the tables say nothing about letters of a later Unicode"
)
#: How the names of letters and marks begin, by table.
NAMES = {
    scripts.ACCENTED: re.compile("(COMBINING )?(LATIN|GREEK|CYRILLIC|HEBREW|ARABIC) "),
    scripts.UNSPACED: re.compile(
        "(COMBINING )?(CJK|IDEOGRAPHIC|HENTAIGANA|HIRAGANA|KATAKANA|HANGUL|BOPOMOFO|THAI|LAO|KHMER|MYANMAR)[ -]"
    ),
}
ACCENT = re.compile(f"[{scripts.ACCENTS}]")
#: Of no script, or named by another rule.
EXCEPTIONS = re.compile("[\u1d2f\u1d3b\u1d4e\u214e\ua788\u3031-\u3035\u303b\u303c\U00016fe3\U00016ff0\U00016ff1]")


@cache
def letters() -> dict[str, str]:
    """Letters and their names: those that folding leaves as they are, which is when the tables are asked."""
    return {
        letter: name
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(letter)[0] in "LM"
        and unicodedata.normalize("NFKC", letter) == letter == letter.casefold()
        and (name := unicodedata.name(letter, ""))
        and not re.match(f"[{scripts.IGNORED}]", letter)
    }


def _named(chosen: Iterable[str]) -> list[str]:
    return [f"{ord(letter):04X} {letters()[letter]}" for letter in chosen]


@pytest.mark.parametrize("listed", NAMES, ids=["accented", "unspaced"])
def test_a_table_has_the_letters_of_its_scripts_and_no_others(listed: str) -> None:
    table = re.compile(f"[{listed}]")
    wrong = [
        letter for letter, name in letters().items() if bool(table.match(letter)) != bool(NAMES[listed].match(name))
    ]
    assert _named(letter for letter in wrong if not EXCEPTIONS.match(letter) and not ACCENT.match(letter)) == []


def test_accents_are_marks_of_no_other_script() -> None:
    accent, marks = re.compile(f"[{scripts.ACCENTS}]"), "(COMBINING|LATIN|GREEK|CYRILLIC|HEBREW|ARABIC) "
    assert (
        _named(letter for letter, name in letters().items() if accent.match(letter) and not re.match(marks, name)) == []
    )


def test_the_marks_of_unspaced_scripts_belong_to_the_letter_before() -> None:
    mark, unspaced = re.compile(f"[{runs._MARKS}]"), re.compile(f"[{scripts.UNSPACED}]")
    is_mark = {letter: unicodedata.category(letter)[0] == "M" for letter in letters() if unspaced.match(letter)}
    assert _named(letter for letter in is_mark if bool(mark.match(letter)) != is_mark[letter]) == []


def test_what_is_not_seen_is_nothing() -> None:
    formats = [letter for letter in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(letter) == "Cf"]
    assert [f"{ord(sign):04X}" for sign in formats if fold(f"tea{sign}pot") != ["teapot"]] == []
