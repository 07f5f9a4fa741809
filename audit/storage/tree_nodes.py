"""Reads hashes of the tree from its tables, and computes those between from them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from audit.tree.frontier import Frontier, fold
from audit.tree.hashing import node_hash
from audit.tree.ranges import Range, complete_subtrees, consistency_ranges, inclusion_ranges

#: Every 8th level is stored: one row for 256 hashes of the stored level below.
STORED_LEVELS = 8
_PER_TILE = 1 << STORED_LEVELS


class MissingNode(Exception):  # noqa: N818 - says what is wrong
    """The tables lack leaves or nodes that the tree must have. The message names them."""


async def stored(
    connection: psycopg.AsyncConnection, wanted: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Returns the hashes of the nodes (level, index) that the table has."""
    found = await connection.execute(
        "SELECT level, node_index, hash FROM audit_node WHERE (level, node_index) IN"
        " (SELECT * FROM unnest(%s::smallint[], %s::bigint[]))",
        [[level for level, _ in wanted], [index for _, index in wanted]],
    )
    return {(level, index): bytes(hashed) async for level, index, hashed in found}


class TreeNodes:
    """The hashes of the tree, as the tables have them now. Tiles of 256 hashes are read once and kept."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    async def frontier(self, size: int) -> Frontier:
        """Returns the right edge of the tree over the first `size` leaves. Raises MissingNode."""
        return Frontier(size, [await self.node(*subtree) for subtree in complete_subtrees(0, size)])

    async def root(self, size: int) -> bytes:
        """Returns the root over the first `size` leaves. Raises MissingNode."""
        return (await self.frontier(size)).root()

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """Returns the proof that the leaf is in the tree. Raises MissingNode."""
        return await self._ranges(inclusion_ranges(index, size))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """Returns the proof that the tree of `new` leaves begins with that of `old`. Raises MissingNode."""
        return await self._ranges(consistency_ranges(old, new)) if old else []

    async def _ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        return [fold([await self.node(*subtree) for subtree in complete_subtrees(*one)]) for one in ranges]

    async def node(self, level: int, index: int) -> bytes:
        """Returns the hash over the 2^`level` leaves from leaf `index` · 2^`level`. Raises MissingNode."""
        stored = level - level % STORED_LEVELS
        count = 1 << (level - stored)
        first = index * count
        tile = await self._tile(stored, first // _PER_TILE)
        hashes = tile[first % _PER_TILE : first % _PER_TILE + count]
        if len(hashes) < count:
            missing = (first + len(hashes)) << stored
            raise MissingNode(f"the log's tables lack the hashes from leaf {missing} on")
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    async def _tile(self, level: int, number: int) -> list[bytes]:
        """Returns the hashes of a tile, up to the first one that is missing."""
        known = self._tiles.get((level, number))
        if known is not None and len(known) == _PER_TILE:
            return known
        first = number * _PER_TILE
        if level:
            found = await self._connection.execute(
                "SELECT node_index, hash FROM audit_node WHERE level = %s AND node_index >= %s AND node_index < %s"
                " ORDER BY node_index",
                [level, first, first + _PER_TILE],
            )
        else:
            found = await self._connection.execute(
                "SELECT leaf_index, leaf_hash FROM audit_leaf WHERE leaf_index >= %s AND leaf_index < %s"
                " ORDER BY leaf_index",
                [first, first + _PER_TILE],
            )
        hashes: list[bytes] = []
        async for index, hashed in found:
            if index != first + len(hashes):
                break
            hashes.append(bytes(hashed))
        self._tiles[level, number] = hashes
        return hashes
