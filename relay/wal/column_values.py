"""Turns a column's bytes, as pgoutput sends them in binary form, into the value that a poll gives.

Only types whose text form is unambiguous are supported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from relay.wal.pgoutput import ProtocolError

Convert = Callable[[bytes], Any]

_UNSIGNED_64, _SIGNED_64 = Struct(">Q"), Struct(">q")
#: The µs from 1970 to 2000. Postgres counts times from 2000.
EPOCH = 946_684_800_000_000
INFINITE = frozenset({(1 << 63) - 1, -(1 << 63)})

text: Convert = bytes.decode
binary_text: Convert = bytes.hex


def integer(data: bytes) -> int:
    """Returns an integer of two, four or eight bytes."""
    return int.from_bytes(data, signed=True)


def integer_text(data: bytes) -> str:
    """Returns the text of an integer, as Postgres prints it."""
    return str(integer(data))


def transaction_id(data: bytes) -> str:
    """Returns the text of an xid8, as Postgres prints it."""
    return str(_UNSIGNED_64.unpack(data)[0])


def uuid(data: bytes) -> str:
    """Returns the text of a uuid, as Postgres prints it."""
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def time(data: bytes) -> int | None:
    """Returns a time in µs since 1970; None if it is infinite."""
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
#: Role → the functions for the types that its column may have. A role that is not here is a text.
_READERS: Mapping[str, Mapping[str, Convert]] = {
    **dict.fromkeys(("position", "aggregate_version", "partition"), _INTEGERS),
    **dict.fromkeys(("recorded_at", "occurred_at"), _TIMES),
    "payload": {**_TEXTS, "bytea": bytes},
}


def reader_of(role: str, type_name: str) -> Convert | None:
    """Returns the function for the bytes of a column with that role and type (`enum` for any enum).

    None if the role's column cannot have that type.
    """
    return _READERS.get(role, _TEXTS).get(type_name)
