"""Converts legal forms of ProtoJSON that the write side does not use to those that it uses.

ProtoJSON has several forms for one value: null for the default of a field, a number as text or with a point, an enum
value as a number. Journals have the forms of the library that wrote them, so all must be readable.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec.inspect import DictType, Field, IntType, ListType, StructType, Type, UnionType
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection.proto_json import DECIMAL

_UNSPECIFIED = "_UNSPECIFIED"
#: The name of each value by the name of its enum's first value.
_ENUMS: dict[str, dict[int, str]] = {
    enum.values[0].name: {value.number: value.name for value in enum.values}
    for enum in types.DESCRIPTOR.enum_types_by_name.values()
}


def as_written(value: Any, declared: Any) -> Any:
    """Returns a value of decoded JSON in the form in which `declared`, a class of messages or a type, declares it.

    What is no legal form is returned as it is, and unknown fields are left out.
    """
    return _as_written(value, _described(declared))


@lru_cache(maxsize=8)
def _described(declared: Any) -> Type:
    return msgspec.inspect.type_info(declared)


def _as_written(value: Any, declared: Type) -> Any:
    if isinstance(declared, UnionType):
        declared = next((one for one in declared.types if isinstance(one, StructType | DictType | IntType)), declared)
        if isinstance(declared, IntType) and isinstance(value, str):
            return value  # 64 bits, which are text as a rule
    if isinstance(declared, StructType) and isinstance(value, dict):
        there = ((field, value.get(field.encode_name)) for field in declared.fields)
        return {field.encode_name: _of_field(found, field) for field, found in there if found is not None}
    if isinstance(declared, ListType) and isinstance(value, list):
        return [_as_written(item, declared.item_type) for item in value]
    return _number(value) if isinstance(declared, IntType) else value


def _of_field(value: Any, field: Field) -> Any:
    if type(value) is int and isinstance(field.default, str) and field.default.endswith(_UNSPECIFIED):
        return _ENUMS[field.default].get(value, value)
    return _as_written(value, field.type)


def _number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and DECIMAL.fullmatch(value) else value
