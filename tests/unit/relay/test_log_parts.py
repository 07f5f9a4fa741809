"""Small parts of the log source: sets of ids, snapshots that include others, messages of the protocol."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events.errors import LogUnavailable
from relay.events.id_set import IdSet
from relay.events.snapshot import Snapshot
from relay.wal.column_values import integer, time, uuid
from relay.wal.pgoutput import (
    Begin,
    LogicalMessage,
    ProtocolError,
    Relation,
    insert_head,
    read_begin,
    read_message,
    read_relation,
)
from relay.wal.tuple_decoder import TupleDecoder, TupleLayout
from tests.unit.relay.test_snapshot import snapshots

id_lists = st.lists(st.integers(0, 5_000) | st.integers(0, 1 << 62))


@given(id_lists, id_lists)
def test_an_id_set_is_a_set(inside: list[int], others: list[int]) -> None:
    ids = IdSet(inside)
    assert list(ids) == sorted(set(inside))
    assert len(ids) == len(set(inside))
    assert bool(ids) == bool(inside)
    assert all((one in ids) == (one in set(inside)) for one in others)


@given(id_lists, snapshots())
def test_unseen_ids(inside: list[int], snapshot: Snapshot) -> None:
    assert IdSet(inside).not_seen_by(snapshot) == sorted(one for one in set(inside) if not snapshot.sees(one))


@given(snapshots(), snapshots())
def test_a_snapshot_that_includes_another_sees_all_of_it(one: Snapshot, other: Snapshot) -> None:
    if one.includes(other):
        edges = {x + d for s in (one, other) for x in (s.xmin, s.xmax, *s.in_progress) for d in (-1, 0, 1)}
        assert all(one.sees(x) for x in edges if other.sees(x))
    assert one.includes(one)


def test_an_exported_snapshot_may_end_before_it_begins() -> None:
    """As Postgres 18 was seen to give it."""
    assert Snapshot.parse_exported("1550519:1550518:") == Snapshot(1550519, 1550519)
    assert Snapshot.parse_exported("10:20:11,12") == Snapshot(10, 20, (11, 12))
    for text in ("5:4:4", "x:1:", "5", ""):
        with pytest.raises(ValueError):
            Snapshot.parse_exported(text)


def relation_bytes(oid: int, schema: str, name: str, columns: list[tuple[str, int]]) -> bytes:
    head = b"R" + struct.pack(">I", oid) + schema.encode() + b"\0" + name.encode() + b"\0d"
    parts = [b"\0" + column.encode() + b"\0" + struct.pack(">Ii", kind, -1) for column, kind in columns]
    return head + struct.pack(">H", len(columns)) + b"".join(parts)


def test_messages() -> None:
    assert read_begin(b"xx" + b"B" + struct.pack(">QqI", 77, 5, 9), 2) == Begin(77, 9)
    data = relation_bytes(16_400, "shop", "Domain Events", [("seq", 20), ("kéy", 25)])
    relation = Relation(16_400, "shop", "Domain Events", (("seq", 20), ("kéy", 25)))
    assert read_relation(data) == relation
    content = b"M" + struct.pack(">BQ", 1, 99) + b"tandem.cursor\0" + struct.pack(">I", 2) + b"hi"
    assert read_message(content) == LogicalMessage(99, True, "tandem.cursor", b"hi")
    for cut in range(1, len(data)):
        with pytest.raises(ProtocolError):
            read_relation(data[:cut])


def test_a_row_is_read_by_the_last_description_of_its_table() -> None:
    layout = TupleLayout(7, "t", {"seq": (0, integer), "id": (2, uuid), "at": (15, time)})
    relation = Relation(7, "s", "t", (("other", 25), ("at", 1184), ("id", 2950), ("seq", 23)))
    decoder = TupleDecoder(layout, relation)
    values = [b"zzz", struct.pack(">q", 1), bytes(range(16)), struct.pack(">i", -3)]
    row = b"I" + insert_head(relation) + b"".join(b"b" + struct.pack(">I", len(v)) + v for v in values)
    event = decoder.event(row, 0)
    assert row[1:8] == decoder.head
    assert (event.position, event.event_id) == (-3, "00010203-0405-0607-0809-0a0b0c0d0e0f")
    assert event.recorded_at == 946_684_800_000_001
    assert decoder.event(row[:8] + b"n" * 4, 0).recorded_at is None
    assert time(struct.pack(">q", (1 << 63) - 1)) is None
    with pytest.raises(ProtocolError):
        decoder.event(row[:8] + b"t" + row[9:], 0)
    with pytest.raises(LogUnavailable, match="'seq'"):
        TupleDecoder(layout, Relation(7, "s", "t", (("at", 1184), ("id", 2950))))
