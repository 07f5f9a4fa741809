"""The function written for a table reads its rows as the loop over their columns does."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events.event import OutboxEvent
from relay.wal.column_values import reader_of
from relay.wal.pgoutput import ProtocolError, Relation, insert_head
from relay.wal.tuple_decoder import TupleDecoder, TupleLayout
from relay.wal.tuple_program import Column, write_reader

INT8, INT2, UUID, TEXT, BYTEA, JSON, TIME, XID8, DOMAIN = 20, 21, 2950, 25, 17, 114, 1184, 5069, 70_001
#: Column → (type oid, type name, role) of a table like ours, with two columns that nobody wants.
TABLE = {
    "position": (INT8, "int8", "position"),
    "xid": (XID8, "xid8", "transaction_id"),
    "id": (UUID, "uuid", "event_id"),
    "note": (TEXT, "text", None),
    "type": (TEXT, "text", "aggregate_type"),
    "order": (UUID, "uuid", "aggregate_id"),
    "version": (INT8, "int8", "aggregate_version"),
    "rank": (INT2, "int2", None),
    "part": (INT2, "int2", "partition"),
    "event": (DOMAIN, "text", "event_type"),
    "body": (JSON, "json", "payload"),
    "hash": (BYTEA, "bytea", "hash"),
    "salt": (BYTEA, "bytea", "salt"),
    "done": (TIME, "timestamptz", "occurred_at"),
    "at": (TIME, "timestamptz", "recorded_at"),
}
RELATION = Relation(7, "s", "t", tuple((name, oid) for name, (oid, _, _) in TABLE.items()))


def reader(role: str | None, type_name: str) -> Callable[[bytes], Any]:
    found = reader_of(role or "", type_name)
    assert found is not None
    return found


LAYOUT = TupleLayout(
    7,
    "t",
    {
        name: (OutboxEvent._fields.index(role), reader(role, type_name))
        for name, (_, type_name, role) in TABLE.items()
        if role is not None
    },
)
DECODER = TupleDecoder(LAYOUT, RELATION)
VALUES: dict[int, st.SearchStrategy[bytes]] = {
    INT8: st.integers(-(1 << 63), (1 << 63) - 1).map(struct.Struct(">q").pack),
    TIME: st.integers(-(1 << 63), (1 << 63) - 1).map(struct.Struct(">q").pack),
    INT2: st.integers(-(1 << 15), (1 << 15) - 1).map(struct.Struct(">h").pack),
    XID8: st.integers(0, (1 << 64) - 1).map(struct.Struct(">Q").pack),
    UUID: st.binary(min_size=16, max_size=16),
    BYTEA: st.binary(max_size=40),
    **dict.fromkeys((TEXT, JSON, DOMAIN), st.text(max_size=40).map(str.encode)),
}


def row(values: Sequence[bytes | None]) -> bytes:
    columns = (b"n" if value is None else b"b" + struct.pack(">I", len(value)) + value for value in values)
    return b"I" + insert_head(RELATION) + b"".join(columns)


def by_column(data: bytes) -> OutboxEvent:
    return DECODER.by_column(data, 0)


whole_rows = st.tuples(*(VALUES[oid] for oid, _, _ in TABLE.values()))
rows_with_nulls = st.tuples(*(st.none() | VALUES[oid] for oid, _, _ in TABLE.values()))


@given(whole_rows | rows_with_nulls)
def test_reads_what_the_loop_reads(values: Sequence[bytes | None]) -> None:
    data = row(values)
    assert DECODER.event(data, 0) == by_column(data)


@given(whole_rows)
def test_whole_rows_are_not_left_to_the_loop(values: Sequence[bytes]) -> None:
    def slow(_data: bytes, _at: int) -> OutboxEvent:
        raise AssertionError

    columns = [Column(oid, *LAYOUT.readers.get(name, (None, bytes))) for name, oid in RELATION.columns]
    data = row(values)
    assert write_reader(columns, slow)(data, 0) == by_column(data)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("kind", [b"t", b"u"])
def test_a_column_in_another_form_is_refused(name: str, kind: bytes) -> None:
    parts = [b"b\0\0\0\x10" + bytes(16) if oid == UUID else b"b\0\0\0\x08" + bytes(8) for oid, _, _ in TABLE.values()]
    parts = [b"b\0\0\0\x02" + bytes(2) if oid == INT2 else part for part, oid in zip(parts, oids(), strict=True)]
    whole = b"I" + insert_head(RELATION) + b"".join(parts)
    assert DECODER.event(whole, 0).position == 0
    number = list(TABLE).index(name)
    parts[number] = kind + parts[number][1:]
    with pytest.raises(ProtocolError):
        DECODER.event(b"I" + insert_head(RELATION) + b"".join(parts), 0)


def oids() -> list[int]:
    return [oid for oid, _, _ in TABLE.values()]


def test_a_column_of_another_size_is_read_by_the_loop() -> None:
    """A description that says int8 and a row that has two bytes: nothing is taken for what it is not."""
    layout = TupleLayout(7, "t", {"position": (0, reader("position", "int8"))})
    decoder = TupleDecoder(layout, Relation(7, "s", "t", (("position", INT8),)))
    data = b"I" + struct.pack(">IcH", 7, b"N", 1) + b"b\0\0\0\x02\0\x05"
    assert decoder.event(data, 0).position == 5
