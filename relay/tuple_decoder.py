"""Rows of the outbox table as pgoutput sends them (binary tuples), turned into the very events that a poll gives.

What a column's bytes mean depends on its type; only types whose bytes have a text that is certain are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any

import psycopg

from relay.errors import LogUnavailable
from relay.outbox_columns import ColumnNames
from relay.outbox_event import OutboxEvent
from relay.outbox_table import TableName
from relay.pgoutput import BINARY, INSERT_HEAD, NULL, ProtocolError, Relation, insert_head

Convert = Callable[[bytes], Any]

_UNSIGNED_64, _SIGNED_64 = Struct(">Q"), Struct(">q")
_length_at = Struct(">I").unpack_from
#: From 1970 to 2000, where Postgres counts from, in µs.
_EPOCH = 946_684_800_000_000
_INFINITE = frozenset({(1 << 63) - 1, -(1 << 63)})


def _integer(data: bytes) -> int:
    return int.from_bytes(data, signed=True)


def _transaction_id(data: bytes) -> str:
    return str(_UNSIGNED_64.unpack(data)[0])


def _uuid(data: bytes) -> str:
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _time(data: bytes) -> int | None:
    microseconds: int = _SIGNED_64.unpack(data)[0]
    return None if microseconds in _INFINITE else microseconds + _EPOCH


def _versioned(data: bytes) -> str:
    if data[:1] != b"\x01":
        raise ProtocolError(f"jsonb of version {data[:1]!r}")
    return data[1:].decode()


def _padded(data: bytes) -> str:
    return data.decode().rstrip(" ")


def _integer_text(data: bytes) -> str:
    return str(_integer(data))


def _truth(data: bytes) -> str:
    return "true" if data[0] else "false"


_TEXTS: Mapping[str, Convert] = {
    **dict.fromkeys(("text", "varchar", "name", "json", "enum"), bytes.decode),
    **dict.fromkeys(("int2", "int4", "int8"), _integer_text),
    "bpchar": _padded,
    "jsonb": _versioned,
    "uuid": _uuid,
    "bytea": bytes.hex,
    "bool": _truth,
    "xid8": _transaction_id,
}
_INTEGERS: Mapping[str, Convert] = dict.fromkeys(("int2", "int4", "int8"), _integer)
_TIMES: Mapping[str, Convert] = dict.fromkeys(("timestamptz", "timestamp"), _time)
#: Role → what reads the types that it may have; every other role is a text.
_READERS: Mapping[str, Mapping[str, Convert]] = {
    **dict.fromkeys(("position", "aggregate_version", "partition"), _INTEGERS),
    **dict.fromkeys(("recorded_at", "occurred_at"), _TIMES),
    "payload": {**_TEXTS, "bytea": bytes},
}


#: One place more than an event has fields: there goes what no field wants.
_EMPTY: list[Any] = [None] * (len(OutboxEvent._fields) + 1)
_UNUSED: tuple[int, Convert] = (len(OutboxEvent._fields), len)


@dataclass(frozen=True, slots=True)
class TupleLayout:
    """What the catalog says: `readers`: column → (field of the event, what reads it)."""

    oid: int
    name: str
    readers: Mapping[str, tuple[int, Convert]]


async def find_layout(connection: psycopg.AsyncConnection[Any], name: TableName, columns: ColumnNames) -> TupleLayout:
    """Looks up the types of the table's columns; LogUnavailable when one of them cannot be read from the log."""
    rows = await connection.execute(
        """WITH RECURSIVE base AS (
             SELECT attname, attgenerated <> '' AS generated, t.typname, t.typtype, t.typbasetype, attrelid
               FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
              WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
             UNION ALL
             SELECT attname, generated, t.typname, t.typtype, t.typbasetype, attrelid
               FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
           SELECT attname, generated, typname, typtype, attrelid::bigint FROM base WHERE typtype <> 'd'""",
        [name.quoted.replace("%%", "%")],
    )
    oid = 0
    there: dict[str, tuple[bool, str]] = {}
    for column, generated, type_name, type_kind, table_oid in await rows.fetchall():
        there[column] = generated, "enum" if type_kind == "e" else type_name
        oid = table_oid
    readers: dict[str, tuple[int, Convert]] = {}
    for role, column in columns.names.items():
        if column not in there:
            continue
        generated, kind = there[column]
        if generated:
            raise LogUnavailable(f"column {column!r} of table {name} is generated, so it is not in the log")
        reader = _READERS.get(role, _TEXTS).get(kind)
        if reader is None:
            raise LogUnavailable(f"column {column!r} of table {name} is {kind}, which cannot be read from the log")
        if column in readers:
            raise LogUnavailable(f"column {column!r} of table {name} has two roles")
        readers[column] = OutboxEvent._fields.index(role), reader
    return TupleLayout(oid, str(name), readers)


class TupleDecoder:
    """Reads the inserts of one table, as its last Relation message describes them."""

    def __init__(self, layout: TupleLayout, relation: Relation) -> None:
        missing = layout.readers.keys() - {column for column, _ in relation.columns}
        if missing:
            raise LogUnavailable(f"column {min(missing)!r} of table {layout.name} is not in the log")
        #: What each insert of this table begins with, at the offset `at + 1`.
        self.head = insert_head(relation)
        self._readers = [layout.readers.get(column, _UNUSED) for column, _ in relation.columns]

    def event(self, data: bytes, at: int) -> OutboxEvent:
        """The row of the insert message at offset `at`, which begins with `head`."""
        values = _EMPTY.copy()
        end = at + INSERT_HEAD
        for field, read in self._readers:
            kind = data[end]
            if kind == BINARY:
                start = end + 5
                end = start + _length_at(data, end + 1)[0]
                values[field] = read(data[start:end])
            elif kind == NULL:
                end += 1
            else:
                raise ProtocolError(f"a column sent as {chr(kind)!r}, where binary was asked for")
        values.pop()
        return OutboxEvent._make(values)
