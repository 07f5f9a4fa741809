"""Writes lists as PostgreSQL's arrays, for statements that say the type of each array themselves.

The driver finds out the type of a list from its elements and converts each by an object. For the fourteen lists of an
order's lines, this took twice as long as all other values of a PlaceOrder together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg import DataError
from psycopg.adapt import Dumper

#: Matches texts that need no quotes, except the word NULL.
_is_word = re.compile(r"[A-Za-z0-9_.+/:@#-]+").fullmatch


def _quoted(text: str) -> str:
    if _is_word(text) and text.upper() != "NULL":
        return text
    if "\0" in text:
        raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


#: Type of an element → what writes it. A type that is not here has no subclass here either: `str` has enums.
_ELEMENTS: Mapping[type, Callable[[Any], str]] = {
    int: str,
    str: _quoted,
    UUID: attrgetter("hex"),
    bool: str,
    datetime: lambda moment: f'"{moment.isoformat()}"',
    type(None): lambda _: "NULL",
}


class ArrayDumper(Dumper):
    """Converts a list of numbers, texts, UUIDs or times, each perhaps None, and of no other lists.

    The server takes the type of the array from the statement. Raises DataError for an element of another type.
    """

    oid = 0

    def dump(self, obj: list[Any]) -> bytes:
        """Returns the array as text: `{1,NULL}`."""
        try:
            return ("{" + ",".join([_ELEMENTS[type(element)](element) for element in obj]) + "}").encode()
        except KeyError as unknown:
            raise DataError(f"no array has elements of {unknown}") from None
