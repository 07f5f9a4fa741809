"""Decodes rows of the outbox table, which pgoutput sends as binary tuples, into the same events that a poll gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any

from relay.events.columns import ColumnNames
from relay.events.errors import LogUnavailable
from relay.events.event import OutboxEvent
from relay.outbox.database import DatabaseConnection
from relay.outbox.table import TableName
from relay.wal.column_values import Convert, reader_of
from relay.wal.pgoutput import BINARY, INSERT_HEAD, NULL, ProtocolError, Relation, insert_head
from relay.wal.tuple_program import Column, write_reader

_length_at = Struct(">I").unpack_from


@dataclass(frozen=True, slots=True)
class TupleLayout:
    """The table in the catalogue. `readers`: column → (number of the event's field, function for its bytes)."""

    oid: int
    name: str
    readers: Mapping[str, tuple[int, Convert]]


async def find_layout(connection: DatabaseConnection, name: TableName, columns: ColumnNames) -> TupleLayout:
    """Looks up the types of the table's columns. Raises LogUnavailable if one cannot be read from the log."""
    rows = await connection.execute(
        """WITH RECURSIVE base AS (
             SELECT attname, attgenerated <> '' AS generated, t.typname, t.typtype, t.typbasetype, attrelid
               FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
              WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
             UNION ALL
             SELECT attname, generated, t.typname, t.typtype, t.typbasetype, attrelid
               FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
           SELECT attname, generated, typname, typtype, attrelid::bigint FROM base WHERE typtype <> 'd'""",
        [name.plain],
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
        reader = reader_of(role, kind)
        if reader is None:
            raise LogUnavailable(f"column {column!r} of table {name} is {kind}, which cannot be read from the log")
        if column in readers:
            raise LogUnavailable(f"column {column!r} of table {name} has two roles")
        readers[column] = OutboxEvent._fields.index(role), reader
    return TupleLayout(oid, str(name), readers)


class TupleDecoder:
    """Decodes the inserts of one table, as the table's last Relation message describes them."""

    def __init__(self, layout: TupleLayout, relation: Relation) -> None:
        missing = layout.readers.keys() - {column for column, _ in relation.columns}
        if missing:
            raise LogUnavailable(f"column {min(missing)!r} of table {layout.name} is not in the log")
        #: The bytes with which each insert into this table begins, at the offset `at + 1`.
        self.head = insert_head(relation)
        self._columns = [Column(oid, *layout.readers.get(name, (None, bytes))) for name, oid in relation.columns]
        #: (data, at) → the event of the insert message at offset `at`, which must begin with `head`.
        self.event = write_reader(self._columns, self.by_column)

    def by_column(self, data: bytes, at: int) -> OutboxEvent:
        """Decodes any row. Raises ProtocolError for bytes that are no row.

        `event` is quicker (ADR 56, measured by `make bench-relay`).
        """
        values: list[Any] = [None] * len(OutboxEvent._fields)
        end = at + INSERT_HEAD
        for column in self._columns:
            kind = data[end]
            if kind == BINARY:
                start = end + 5
                end = start + _length_at(data, end + 1)[0]
                if column.field is not None:
                    values[column.field] = column.read(data[start:end])
            elif kind == NULL:
                end += 1
            else:
                raise ProtocolError(f"a column sent as {chr(kind)!r}, where binary was asked for")
        return OutboxEvent._make(values)
