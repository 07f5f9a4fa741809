"""Reads parts of an order whose fields the document copies from the contract: texts, lists of texts and integers.

The fields follow from the part's class, so each is declared once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_type_hints

from query_service.projection.proto_json import Object, integer, text, texts

Part = TypeVar("Part")
_READERS: Mapping[Any, Callable[[Object, str], Any]] = {str: text, int: integer, list[str]: texts}


def reader(part: type[Part]) -> Callable[[Object | None], Part | None]:
    """Returns a function that converts a message (ProtoJSON) to a part, and None to None.

    The function raises ProjectionError naming the wrong field. `reader` itself raises KeyError when the class has a
    field of another type.
    """
    fields = [(name, _READERS[kind], json_name(name)) for name, kind in get_type_hints(part).items()]

    def read(message: Object | None) -> Part | None:
        if message is None:
            return None
        return cast("Part", {name: value(message, json_name) for name, value, json_name in fields})

    return read


def json_name(name: str) -> str:
    """Returns a field's name in ProtoJSON, which is in camel case."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
