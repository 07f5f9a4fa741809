"""Reads a column's bytes by its type, as pgoutput sends them in binary form.

Only types with an unambiguous text are read, and each gives the same value as a poll.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from relay.wal.pgoutput import ProtocolError

Convert = Callable[[bytes], Any]

_UNSIGNED_64, _SIGNED_64 = Struct(">Q"), Struct(">q")
#: From 1970 to 2000, where Postgres counts from, in µs.
EPOCH = 946_684_800_000_000
INFINITE = frozenset({(1 << 63) - 1, -(1 << 63)})

text: Convert = bytes.decode
binary_text: Convert = bytes.hex


def integer(data: bytes) -> int:
    """Of two, four or eight bytes."""
    return int.from_bytes(data, signed=True)


def integer_text(data: bytes) -> str:
    """An integer as Postgres prints it."""
    return str(integer(data))


def transaction_id(data: bytes) -> str:
    """An xid8 as Postgres prints it."""
    return str(_UNSIGNED_64.unpack(data)[0])


def uuid(data: bytes) -> str:
    """A uuid as Postgres prints it."""
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def time(data: bytes) -> int | None:
    """µs since 1970; None when it is infinite."""
    microseconds: int = _SIGNED_64.unpack(data)[0]
    return None if microseconds in INFINITE else microseconds + EPOCH


def _versioned(data: bytes) -> str:
    if data[:1] != b"\x01":
        raise ProtocolError(f"jsonb of version {data[:1]!r}")
    return data[1:].decode()


def _padded(data: bytes) -> str:
    return data.decode().rstrip(" ")


def _truth(data: bytes) -> str:
    return "true" if data[0] else "false"


_TEXTS: Mapping[str, Convert] = {
    **dict.fromkeys(("text", "varchar", "name", "json", "enum"), text),
    **dict.fromkeys(("int2", "int4", "int8"), integer_text),
    "bpchar": _padded,
    "jsonb": _versioned,
    "uuid": uuid,
    "bytea": binary_text,
    "bool": _truth,
    "xid8": transaction_id,
}
_INTEGERS: Mapping[str, Convert] = dict.fromkeys(("int2", "int4", "int8"), integer)
_TIMES: Mapping[str, Convert] = dict.fromkeys(("timestamptz", "timestamp"), time)
#: Role → what reads the types that it may have; every other role is a text.
_READERS: Mapping[str, Mapping[str, Convert]] = {
    **dict.fromkeys(("position", "aggregate_version", "partition"), _INTEGERS),
    **dict.fromkeys(("recorded_at", "occurred_at"), _TIMES),
    "payload": {**_TEXTS, "bytea": bytes},
}


def reader_of(role: str, type_name: str) -> Convert | None:
    """Returns the reader of a column of that type (`enum` for any enum) in that role; None if there is none."""
    return _READERS.get(role, _TEXTS).get(type_name)
