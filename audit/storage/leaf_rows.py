"""Reads and writes the rows of leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from audit.leaves.leaf import Leaf, LeafKind

_COLUMNS = "leaf_index, kind, event_id, order_id, version, epoch, chain_hash, leaf_hash"


class LeafRow(NamedTuple):
    """A stored leaf: where it is in the log, what it is about, and its hash as the table has it."""

    leaf_index: int
    leaf: Leaf
    hash: bytes


class Placed(NamedTuple):
    """A leaf that is to be written: its index, and the sequence of its message in the stream."""

    leaf_index: int
    sequence: int
    leaf: Leaf
    hash: bytes


async def write(connection: psycopg.AsyncConnection, leaves: Iterable[Placed]) -> None:
    """Writes leaves in the connection's transaction."""
    async with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY audit_leaf (leaf_index, stream_sequence, kind, event_id, order_id, version, epoch, chain_hash,"
            " leaf_hash) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["int8", "int8", "text", "uuid", "uuid", "int8", "int8", "bytea", "bytea"])
        for index, sequence, leaf, hashed in leaves:
            await copy.write_row(
                (
                    index,
                    sequence,
                    leaf.kind.value,
                    leaf.event_id,
                    leaf.order_id,
                    leaf.version,
                    leaf.epoch,
                    leaf.chain_hash,
                    hashed,
                )
            )


async def size(connection: psycopg.AsyncConnection) -> int:
    """Returns how many leaves there are."""
    row = await (await connection.execute("SELECT max(leaf_index) FROM audit_leaf")).fetchone()
    return 0 if row is None or row[0] is None else int(row[0]) + 1


async def last_epoch(connection: psycopg.AsyncConnection) -> int:
    """Returns the newest source epoch that the log has; 0 before the first."""
    row = await (await connection.execute("SELECT max(epoch) FROM audit_leaf WHERE kind = 'epoch'")).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


async def known_events(connection: psycopg.AsyncConnection, event_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Returns the chain hashes of those events that the log has, by event id."""
    found = await connection.execute(
        "SELECT event_id, chain_hash FROM audit_leaf WHERE kind = 'event' AND event_id = ANY(%s)",
        [list(event_ids)],
        binary=True,
    )
    return {event_id: bytes(hashed) async for event_id, hashed in found}


async def known_refusals(connection: psycopg.AsyncConnection, hashes: Sequence[bytes]) -> set[bytes]:
    """Returns which of the hashes are those of refused messages that the log has."""
    found = await connection.execute(
        "SELECT leaf_hash FROM audit_leaf WHERE kind = 'refused' AND leaf_hash = ANY(%s)", [list(hashes)]
    )
    return {bytes(hashed) async for (hashed,) in found}


async def hashes_of_versions(
    connection: psycopg.AsyncConnection, versions: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], list[bytes]]:
    """Returns the chain hashes of versions of orders, newest first. After a restore a version may have several."""
    found = await connection.execute(
        "SELECT leaf.order_id, leaf.version, leaf.chain_hash FROM unnest(%s::uuid[], %s::bigint[]) AS asked (o, v)"
        " JOIN audit_leaf leaf ON leaf.order_id = asked.o AND leaf.version = asked.v AND leaf.kind = 'event'"
        " ORDER BY leaf.leaf_index DESC",
        [[order for order, _ in versions], [version for _, version in versions]],
        binary=True,
    )
    hashes: dict[tuple[UUID, int], list[bytes]] = {}
    async for order_id, version, hashed in found:
        hashes.setdefault((order_id, version), []).append(bytes(hashed))
    return hashes


async def of_events(connection: psycopg.AsyncConnection, event_ids: Sequence[UUID]) -> dict[UUID, LeafRow]:
    """Returns the leaves of events, by event id."""
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM audit_leaf WHERE kind = 'event' AND event_id = ANY(%s)",  # noqa: S608 - our constant
        [list(event_ids)],
    )
    rows = [_row(row) async for row in found]
    return {row.leaf.event_id: row for row in rows if row.leaf.event_id is not None}


async def between(connection: psycopg.AsyncConnection, start: int, end: int) -> list[LeafRow]:
    """Returns the leaves from `start` to before `end`, as far as they are there."""
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM audit_leaf WHERE leaf_index >= %s AND leaf_index < %s ORDER BY leaf_index",  # noqa: S608
        [start, end],
    )
    return [_row(row) async for row in found]


async def no_events(connection: psycopg.AsyncConnection) -> list[LeafRow]:
    """Returns the leaves that are no events."""
    found = await connection.execute(
        f"SELECT {_COLUMNS} FROM audit_leaf WHERE kind <> 'event' ORDER BY leaf_index"  # noqa: S608 - our constant
    )
    return [_row(row) async for row in found]


def _row(row: Sequence[Any]) -> LeafRow:
    index, kind, event_id, order_id, version, epoch, chain_hash, hashed = row
    leaf = Leaf(LeafKind(kind), event_id, order_id, version, None if chain_hash is None else bytes(chain_hash), epoch)
    return LeafRow(int(index), leaf, bytes(hashed))
