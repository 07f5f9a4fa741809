"""Reads the logical replication messages of Postgres (plugin `pgoutput`, protocol version 1) that a relay of inserts
needs. The functions turn bytes into values, without I/O.

A transaction arrives after its commit, as Begin, its changes in order, and Commit. The Begin contains the position of
the commit record. So the cursor after each change is known before the last change has arrived. Messages that were
written outside of transactions arrive between transactions, in the order of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

BEGIN, COMMIT, RELATION, INSERT, MESSAGE = b"BCRIM"
#: Messages that a relay of inserts ignores: origin, type, truncate, update, delete.
IGNORED = frozenset(b"OYTUD")
#: The kinds of a column's value in a tuple: null, unchanged (in updates only), text, binary.
NULL, UNCHANGED, TEXT, BINARY = b"nutb"

_BEGIN = Struct(">QqI")
_RELATION = Struct(">I")
_COUNT = Struct(">H")
_COLUMN = Struct(">Ii")
_MESSAGE = Struct(">BQ")
_LENGTH = Struct(">I")
_INSERT = Struct(">IcH")
INSERT_HEAD = 1 + _INSERT.size
_new = tuple.__new__


class ProtocolError(Exception):
    """The bytes are no message of the protocol with the options that we requested."""


class Begin(NamedTuple):
    """The beginning of a transaction.

    Its commit record begins at `commit_lsn`. `transaction_id` is the lower 32 bits of its id.
    """

    commit_lsn: int
    transaction_id: int


@dataclass(frozen=True, slots=True)
class Relation:
    """The description of a table whose rows follow. `columns` are (name, type oid) in the order of the tuples."""

    oid: int
    schema: str
    name: str
    columns: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """A message that was written by `pg_logical_emit_message`. Its record begins at `lsn`."""

    lsn: int
    transactional: bool
    prefix: str
    content: bytes


def read_begin(data: bytes, at: int = 0) -> Begin:
    """Reads the Begin that begins at offset `at`."""
    commit_lsn, _, transaction_id = _BEGIN.unpack_from(data, at + 1)
    return _new(Begin, (commit_lsn, transaction_id))


def read_relation(data: bytes, at: int = 0) -> Relation:
    """Reads the Relation at `at`. Raises ProtocolError if it is cut short."""
    try:
        (oid,) = _RELATION.unpack_from(data, at + 1)
        schema, end = _text(data, at + 1 + _RELATION.size)
        name, end = _text(data, end)
        (count,) = _COUNT.unpack_from(data, end + 1)  # one byte before it: the replica identity
        end += 1 + _COUNT.size
        columns = []
        for _ in range(count):
            column, end = _text(data, end + 1)  # one byte before it: flags
            columns.append((column, _COLUMN.unpack_from(data, end)[0]))
            end += _COLUMN.size
    except Exception as error:
        raise ProtocolError(f"a relation message that cannot be read: {error}") from None
    return Relation(oid, schema or "pg_catalog", name, tuple(columns))


def read_message(data: bytes, at: int = 0) -> LogicalMessage:
    """Reads the logical message at `at`. Raises ProtocolError if it is cut short."""
    try:
        flags, lsn = _MESSAGE.unpack_from(data, at + 1)
        prefix, end = _text(data, at + 1 + _MESSAGE.size)
        (length,) = _LENGTH.unpack_from(data, end)
    except Exception as error:
        raise ProtocolError(f"a logical message that cannot be read: {error}") from None
    start = end + _LENGTH.size
    return LogicalMessage(lsn, bool(flags & 1), prefix, data[start : start + length])


def insert_head(relation: Relation) -> bytes:
    """Returns the bytes that follow the kind in an insert into that table: table oid, `N` (new tuple), column count."""
    return _INSERT.pack(relation.oid, b"N", len(relation.columns))


def _text(data: bytes, start: int) -> tuple[str, int]:
    """Returns a text that ends with a zero byte, and the offset after it."""
    end = data.index(0, start)
    return data[start:end].decode(), end + 1
