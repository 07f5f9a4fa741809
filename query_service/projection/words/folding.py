"""Folds words: removes case, accents and invisible characters, and converts all digits to ASCII.

Documents are folded when they are projected, and search texts in the same way. So every store that can look up words
and prefixes gives the same answers, without an analyser of its own.

People leave out some signs inside a word, or type a space instead: apostrophes, the non-joiner of Persian, the dot of
col·lecció. Folding turns these signs into `JOINT`. A folded word with joints between its parts is called a chain.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from query_service.projection.words.letters import JOINT, fold_letters
from query_service.projection.words.scripts import HEBREW, UNSEEN

#: Longer words are truncated, in documents and in search texts.
MAX_WORD_LENGTH = 64
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
#: The Hebrew abbreviation sign, typed as a quotation mark.
_GERSHAYIM = re.compile(f'(?<=[{HEBREW}])[{UNSEEN}]*["\u201c\u201d]["\u201c\u201d{UNSEEN}]*(?=[{HEBREW}])')


def fold(text: str) -> list[str]:
    """Returns the folded words of `text` in order. They have letters, digits, and marks that are not accents."""
    return [word for chain in chains(text).split() if (word := chain.replace(JOINT, ""))]


def chains(text: str) -> str:
    """Returns the chains of `text` in order, separated by spaces."""
    return _folded(text, _WORDS)


def code_chains(codes: Iterable[str]) -> str:
    """Returns each code as one chain, separated by spaces. A sign that would separate words becomes a JOINT."""
    return _folded("\n".join(codes), _CODES)


def parts_of(chain: str) -> list[str]:
    """Returns the parts of a chain, ignoring joints at its ends."""
    parts = chain.split(JOINT)
    return [part for part in parts if part] if "" in parts else parts


def _folded(text: str, table: bytes) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)  # composes a letter and its marks
        if '"' in text or "\u201c" in text or "\u201d" in text:
            text = _GERSHAYIM.sub("", text)
        text = _NOT_ASCII.sub(_letters_of, text)
    return text.encode().translate(table).decode()


def _letters_of(found: re.Match[str]) -> str:
    return fold_letters(found[0])


def _table(separators: dict[str, str], otherwise: str) -> bytes:
    """Returns a table for `bytes.translate` that folds the ASCII in UTF-8. All else is folded already."""
    small = {chr(code): chr(code).lower() for code in range(128) if chr(code).isalnum()}
    ascii_part = (small | separators).get
    return bytes(ord(ascii_part(chr(code), otherwise)) if code < 128 else code for code in range(256))


_WORDS = _table({"'": JOINT, "`": JOINT}, " ")
_CODES = _table({"\n": " "}, JOINT)
