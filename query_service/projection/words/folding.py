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

from query_service.projection.words.letters import JOINT, fold_letters
from query_service.projection.words.scripts import HEBREW, UNSEEN

#: Longer words are cut; both sides of a search are cut alike.
MAX_WORD_LENGTH = 64
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
#: The sign of an abbreviation in Hebrew, as typed.
_GERSHAYIM = re.compile(f'(?<=[{HEBREW}])[{UNSEEN}]*["\u201c\u201d]["\u201c\u201d{UNSEEN}]*(?=[{HEBREW}])')


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
        text = unicodedata.normalize("NFC", text)  # so that a mark stands with its letter
        if '"' in text or "\u201c" in text or "\u201d" in text:
            text = _GERSHAYIM.sub("", text)
        text = _NOT_ASCII.sub(_letters_of, text)
    return text.encode().translate(table).decode()


def _letters_of(found: re.Match[str]) -> str:
    return fold_letters(found[0])


def _table(separators: dict[str, str], otherwise: str) -> bytes:
    """What becomes of a byte of UTF-8 in which all but ASCII is folded already."""
    small = {chr(code): chr(code).lower() for code in range(128) if chr(code).isalnum()}
    ascii_part = (small | separators).get
    return bytes(ord(ascii_part(chr(code), otherwise)) if code < 128 else code for code in range(256))


_WORDS = _table({"'": JOINT, "`": JOINT}, " ")
_CODES = _table({"\n": " "}, JOINT)
