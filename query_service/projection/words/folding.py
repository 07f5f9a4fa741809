"""Words as people search them: without case, accents and what nobody sees, all digits as ASCII's.

The same folding is applied to documents when they are projected and to what a caller types, so any store that can
look up words and prefixes of words gives the same answer, and none needs an analyser of its own.

Some signs stand inside a word and may be left out or be a space: apostrophes, the non-joiner of Persian, the dot of
col·lecció. They are joints: a chain is a word with its parts, `o'neil`, and `JOINT` stands between the parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from query_service.projection.words.scripts import ACCENTED, ACCENTS, ARABIC, HEBREW, IGNORED, NON_JOINER, UNSPACED

JOINT = "'"
#: Longer words are cut; both sides of a search are cut alike.
MAX_WORD_LENGTH = 64
#: More than the letters, and pairs of letters, that people write; nobody fills our memory with the others.
MOST_REMEMBERED = 20_000
_LONGEST_REMEMBERED = 3

_APOSTROPHES = (
    "'`\u00b4\u02b9\u02bb-\u02bf\u02c8\u02ca\u02cb\u0374\u0384\u055a\u05f3\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe"
    "\u2018\u2019\u201b\u2032\u2035\ua78b\ua78c\uff07\uff40"
)
_DOTS = "\u00b7\u0387\u2027\u30fb\uff65"
#: Most of what is written in these letters; folding leaves it as it is.
PLAIN_RUN = re.compile("[\u4e00-\u9fff\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\uac00-\ud7a3]+")
_JOINTS = re.compile(f"[{_APOSTROPHES}{_DOTS}]")
_IGNORED = re.compile(f"[{IGNORED}]")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
#: Accents behind a letter of the scripts that have them, or behind no letter.
_ACCENTS = re.compile(f"(?<![^ '0-9{ACCENTED}])[{ACCENTS}]+")
_JOINING_NON_JOINER = re.compile(f"(?<=[{ARABIC}]){NON_JOINER}+(?=[{ARABIC}])")
#: The sign of an abbreviation in Hebrew, as typed.
_GERSHAYIM = re.compile(f'(?<=[{HEBREW}])"+(?=[{HEBREW}])')
#: Signs whose decomposition by Unicode says something else than what people mean by them.
_SIGNS = str.maketrans(
    {"\u309b": "\u3099", "\u309c": "\u309a", "™": " ", "℠": " ", "№": " no "}
    | {chr(code): "" for code in (*range(0xFC5E, 0xFC64), *range(0xFE70, 0xFE80))}
)
_HAS_SIGN = re.compile("[\u309b\u309c™℠№\ufc5e-\ufc63\ufe70-\ufe7f]")
#: Letters that Unicode does not decompose. Of Arabic those that are typed for one another.
_LETTERS = {
    "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ŋ": "n", "ı": "i", "ȷ": "j",
    "ٱ": "ا", "ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك", "ہ": "ه", "ھ": "ه", "ە": "ه",
}  # fmt: skip
#: ø, ł, đ and the like.
_NAME_OF_VARIANT = re.compile("LATIN SMALL LETTER ([A-Z]) WITH .*")


def fold(text: str) -> list[str]:
    """The words of `text` in their order, folded: letters, digits and the marks that are no accents only."""
    return [word for chain in chains(text).split() if (word := chain.replace(JOINT, ""))]


def chains(text: str) -> str:
    """The words of `text` in their order, folded, with spaces between them and a JOINT between parts."""
    return _folded(text, _WORDS)


def code_chains(codes: Iterable[str]) -> str:
    """Each code as one chain: whatever would cut words cuts a code into parts."""
    return _folded("\n".join(codes), _CODES)


def parts_of(chain: str) -> list[str]:
    """The parts of a chain; joints around it mean nothing."""
    parts = chain.split(JOINT)
    return [part for part in parts if part] if "" in parts else parts


def _folded(text: str, table: bytes) -> str:
    if not text.isascii():
        if '"' in text:
            text = _GERSHAYIM.sub("", text)
        text = _NOT_ASCII.sub(_folded_letters, text)
    return text.encode().translate(table).decode()


class _Folded(dict[str, str]):
    """Character, or a few of them → what they become."""

    def __missing__(self, text: str) -> str:
        folded = _fold_letters(text)
        if len(self) < MOST_REMEMBERED:
            self[text] = folded
        return folded


class _FoldedLetters(dict[int, str]):
    """Decomposed character → what it becomes, found when it is met first."""

    def __missing__(self, codepoint: int) -> str:
        folded = _fold_letter(chr(codepoint))
        if len(self) < MOST_REMEMBERED:
            self[codepoint] = folded
        return folded


def _folded_letters(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) <= _LONGEST_REMEMBERED:
        return _FOLDED[text]
    return text if PLAIN_RUN.fullmatch(text) else _fold_letters(text)


def _fold_letters(text: str) -> str:
    # Before decomposing, which makes a space and an accent of some of them.
    text = _JOINTS.sub(JOINT, text)
    if _HAS_SIGN.search(text):
        text = text.translate(_SIGNS)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_FOLDED_LETTERS)
    if NON_JOINER in text:
        text = _JOINING_NON_JOINER.sub(JOINT, text).replace(NON_JOINER, "")
    # Composed again, so that no letter is the beginning of another one, as か would be of が.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", text))


def _fold_letter(letter: str) -> str:
    category = unicodedata.category(letter)
    if letter == NON_JOINER or (letter.isascii() and (letter.isalnum() or letter == JOINT)):
        return letter
    if category == "Cf" or letter == "\u0640" or letter in "\u05f4" or _IGNORED.match(letter):
        return ""  # neither seen nor heard
    if _JOINTS.match(letter):
        return JOINT
    if letter in _LETTERS:
        return _LETTERS[letter]
    digit = unicodedata.digit(letter, None)
    if digit is not None:
        return str(digit)
    if variant := _NAME_OF_VARIANT.fullmatch(unicodedata.name(letter, "")):
        return variant[1].lower()
    return letter if letter.isalnum() or category.startswith("M") or _UNSPACED.match(letter) else " "


def _table(separators: dict[str, str], otherwise: str) -> bytes:
    """What becomes of a byte of UTF-8 in which all but ASCII is folded already."""
    small = {chr(code): chr(code).lower() for code in range(128) if chr(code).isalnum()}
    ascii_part = (small | separators).get
    return bytes(ord(ascii_part(chr(code), otherwise)) if code < 128 else code for code in range(256))


_FOLDED = _Folded()
_FOLDED_LETTERS = _FoldedLetters()
_WORDS = _table({"'": JOINT, "`": JOINT}, " ")
_CODES = _table({"\n": " "}, JOINT)
