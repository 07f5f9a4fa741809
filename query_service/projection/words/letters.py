"""Folds letters outside ASCII: which letters count as equal, which are ignored, and which distinguish words."""

from __future__ import annotations

import re
import unicodedata

from query_service.projection.words.scripts import ACCENTED, ACCENTS, ARABIC, NON_JOINER, UNSEEN, UNSPACED

#: Separates the parts of a word that may also be written apart.
JOINT = "'"
#: The size limit of the caches. It exceeds the letters that people write, and keeps other texts from filling memory.
MOST_REMEMBERED = 20_000
_LONGEST_REMEMBERED = 3

_APOSTROPHES = (
    "'`\u00b4\u02b9\u02bb-\u02bf\u02c8\u02ca\u02cb\u02ee\u0374\u0384\u055a\u05f3\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe"
    "\u2018\u2019\u201b\u2032\u2035\u275b\u275c\ua78b\ua78c\uff07\uff40"
)
_DOTS = "\u00b7\u0387\u2027\u30fb\uff65"
#: Common letters of Chinese, Japanese and Korean, which folding does not change.
PLAIN_RUN = re.compile("[\u4e00-\u9fff\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\uac00-\ud7a3]+")
_JOINTS = re.compile(f"[{_APOSTROPHES}{_DOTS}]")
#: Ignored characters. Includes gershayim, and the emphasis and question marks that Armenian writes inside words.
_UNSEEN = re.compile(f"(?!{NON_JOINER})[{UNSEEN}\u05f4\u055b\u055c\u055e]")
_UNSPACED = re.compile(f"[{UNSPACED}]")
#: Marks after a letter of a script with accents, or after no letter.
_ACCENTED = re.compile(f"(?<![^ '0-9{ACCENTED}])[^\\w ']+")
_ACCENTS = re.compile(f"[{ACCENTS}]+")
_JOINING_NON_JOINER = re.compile(f"(?<=[{ARABIC}]){NON_JOINER}+(?=[{ARABIC}])")
#: Signs that Unicode decomposes into something other than people mean.
_SIGNS = str.maketrans(
    {"\u309b": "\u3099", "\u309c": "\u309a", "™": " ", "℠": " ", "№": " no "}
    | {fraction: f" {fraction}" for fraction in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"}
    | {chr(code): "" for code in (*range(0xFC5E, 0xFC64), *range(0xFE70, 0xFE80))}
)
_HAS_SIGN = re.compile(f"[{re.escape(''.join(map(chr, _SIGNS)))}]")
#: Letters that stay decomposed in NFC, and whose mark makes them another letter: ज़ is not ज.
_MARKED_LETTERS = {
    unicodedata.normalize("NFD", letter): letter
    for letter in map(chr, (*range(0x958, 0x960), *range(0x9DC, 0x9E0), *range(0xA33, 0xA5F), 0xB5C, 0xB5D))
    if not unicodedata.is_normalized("NFC", letter)
}
_MARKED_LETTER = re.compile("|".join(_MARKED_LETTERS))
#: The vowel sign am of Thai and Lao, which people type before or after the tone mark.
_AM = "\u0e4d\u0ecd"
_AM_AND_TONE = re.compile(f"[{_AM}\u0e48-\u0e4b\u0ec8-\u0ecb]{{2,}}")
#: Letters that Unicode does not decompose, and Arabic letters that people type for one another.
_LETTERS = {
    "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ŋ": "n", "ı": "i", "ȷ": "j",
    "ٱ": "ا", "ة": "ه", "ۃ": "ه", "ى": "ي", "ی": "ي", "ک": "ك", "ڪ": "ك", "ہ": "ه", "ھ": "ه", "ە": "ه",
}  # fmt: skip
#: The Unicode name of letters such as ø, ł and đ.
_NAME_OF_VARIANT = re.compile("LATIN SMALL LETTER ([A-Z]) WITH .*")


def fold_letters(text: str) -> str:
    """Folds a text without ASCII: keeps letters, digits and marks that are not accents.

    All other characters become spaces or joints, or are removed.
    """
    if len(text) <= _LONGEST_REMEMBERED:
        return _FOLDED[text]
    return text if PLAIN_RUN.fullmatch(text) else fold_any_letters(text)


def fold_any_letters(text: str) -> str:
    """Folds any text as `fold_letters` does, step by step."""
    # Do this before decomposing, which turns some apostrophes into a space and an accent.
    text = _JOINTS.sub(JOINT, _UNSEEN.sub("", text))
    if _HAS_SIGN.search(text):
        text = text.translate(_SIGNS)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_FOLDED_LETTERS)
    if NON_JOINER in text:
        text = _JOINING_NON_JOINER.sub(JOINT, text).replace(NON_JOINER, "")
    text = _ACCENTED.sub(lambda marks: _ACCENTS.sub("", marks[0]), text)
    text = _AM_AND_TONE.sub(lambda marks: "".join(sorted(marks[0], key=_AM.__contains__)), text)
    # Compose again. Decomposed, か would be a prefix of が.
    return _MARKED_LETTER.sub(lambda letter: _MARKED_LETTERS[letter[0]], unicodedata.normalize("NFC", text))


class _Folded(dict[str, str]):
    """Caches the folding of up to three characters."""

    def __missing__(self, text: str) -> str:
        folded = fold_any_letters(text)
        if len(self) < MOST_REMEMBERED:
            self[text] = folded
        return folded


class _FoldedLetters(dict[int, str]):
    """Caches the folding of a decomposed character, by code point."""

    def __missing__(self, codepoint: int) -> str:
        folded = _fold_letter(chr(codepoint))
        if len(self) < MOST_REMEMBERED:
            self[codepoint] = folded
        return folded


def _fold_letter(letter: str) -> str:
    if letter == NON_JOINER or (letter.isascii() and (letter.isalnum() or letter == JOINT)):
        return letter
    if _UNSEEN.match(letter):
        return ""
    if _JOINTS.match(letter):
        return JOINT
    if letter in _LETTERS:
        return _LETTERS[letter]
    digit = unicodedata.digit(letter, None)
    if digit is not None:
        return str(digit)
    if variant := _NAME_OF_VARIANT.fullmatch(unicodedata.name(letter, "")):
        return variant[1].lower()
    return (
        letter if letter.isalnum() or unicodedata.category(letter).startswith("M") or _UNSPACED.match(letter) else " "
    )


_FOLDED = _Folded()
_FOLDED_LETTERS = _FoldedLetters()
