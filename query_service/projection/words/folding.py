"""Folds words as people search them: without case, accents and invisible characters, all digits as ASCII's.

Documents are folded when they are projected, and a caller's text in the same way. So any store that can look up words
and prefixes gives the same answer, and none needs an analyser of its own.

Some signs inside a word may be left out or typed as a space: apostrophes, the non-joiner of Persian, the dot of
col·lecció. They are joints: a chain is a word with its parts, `o'neil`, and `JOINT` is between the parts.
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
    """Returns the words of `text` in order, folded: only letters, digits and marks that are not accents."""
    return [word for chain in chains(text).split() if (word := chain.replace(JOINT, ""))]


def chains(text: str) -> str:
    """Returns the words of `text` in order, folded, with spaces between them and a JOINT between parts."""
    return _folded(text, _WORDS)


def code_chains(codes: Iterable[str]) -> str:
    """Returns each code as one chain: whatever would split words splits a code into parts."""
    return _folded("\n".join(codes), _CODES)


def parts_of(chain: str) -> list[str]:
    """Returns the parts of a chain, ignoring joints at its ends."""
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
