"""Makes text from outside safe for a terminal: control, direction and invisible characters become escapes."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

#: Joiners, which Persian words and emoji need. They are kept, because they change how the characters next to them look.
_JOINERS = "\u200c\u200d"
#: Format characters that are visible: signs of Arabic, Syriac and Kaithi before a number.
_SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
#: Characters that Unicode calls letters, but that look like blanks.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Returns the text with control, direction and invisible characters as escapes: `\x1b`, `\u202e`, `\n`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _steers(character) else character for character in text)


def json_text(document: Any, *, indent: int | None = 2) -> str:
    r"""Returns a document as JSON, with `\u…` escapes, which mean the same, for characters that control a terminal."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, default=str)
    return "".join(
        json.dumps(character)[1:-1] if character != "\n" and _steers(character) else character for character in text
    )


def _steers(character: str) -> bool:
    if character in _JOINERS or _SEEN.match(character):
        return False
    return character in _BLANK_LETTERS or unicodedata.category(character) in _STEERING


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
