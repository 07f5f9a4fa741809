"""Appends leaves to the log: leaves, nodes and position are one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from audit.leaves.stream_message import StreamMessage
from audit.notary.deciding import Decider, Decision, Read, read
from audit.storage import leaf_rows, position
from audit.storage.leaf_rows import Placed
from audit.storage.position import Position
from audit.storage.tree_nodes import STORED_LEVELS, TreeNodes
from audit.tree.frontier import Frontier, Node

#: So many messages are read at most without writing how far.
MOST_UNWRITTEN = 1_000


class LogWriter:
    """The only writer of a log, over the session that holds the lock.

    After any error it must be opened anew: what was committed is then read from the tables.
    """

    def __init__(self, connection: psycopg.AsyncConnection, stream: str, frontier: Frontier, epoch: int) -> None:
        self._connection, self._stream = connection, stream
        self._frontier, self._epoch = frontier, epoch
        self._unwritten = 0

    @classmethod
    async def open(cls, connection: psycopg.AsyncConnection, stream: str) -> LogWriter:
        """Reads the log's state. Raises MissingNode, psycopg.Error."""
        size = await leaf_rows.size(connection)
        frontier = await TreeNodes(connection).frontier(size)
        return cls(connection, stream, frontier, await leaf_rows.last_epoch(connection))

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """The root over all leaves."""
        return self._frontier.root()

    async def position(self) -> Position:
        """Returns up to which message the stream was read."""
        return await position.read(self._connection, self._stream)

    async def pass_over(self, reached: Position) -> None:
        """Writes that the messages before are lost, so that they count once."""
        async with self._connection.transaction():
            await position.write(self._connection, self._stream, reached)

    async def append(self, messages: Sequence[StreamMessage], stream_created_at: int) -> Decision:
        """Appends the leaves of messages, which follow those read before, and returns what was decided.

        If they add nothing, as barriers do, the position is written only now and then, and they are read again after a
        restart. If it were never written, messages without events that leave the stream would count as lost.
        """
        decision = await self._decided([read(message) for message in messages])
        self._unwritten += len(messages)
        if decision.leaves or decision.repeated or self._unwritten >= MOST_UNWRITTEN:
            frontier = self._frontier.copy()
            placed, nodes = _place(frontier, decision)
            async with self._connection.transaction():
                await leaf_rows.write(self._connection, placed)
                await _write_nodes(self._connection, nodes)
                reached = Position(stream_created_at, messages[-1].sequence)
                await position.write(self._connection, self._stream, reached)
            self._frontier, self._epoch, self._unwritten = frontier, decision.epoch, 0
        return decision

    async def _decided(self, messages: Sequence[Read]) -> Decision:
        if not any(one.message.is_event for one in messages):
            return Decider(self._epoch, {}, {}).decide(messages)
        events = [event for one in messages for event in one.events]
        before = {(event.order_id, event.version - 1) for event in events if event.version > 1}
        decider = Decider(
            self._epoch,
            await leaf_rows.known_events(self._connection, [event.event_id for event in events]),
            await leaf_rows.hashes_of_versions(self._connection, list(before)) if before else {},
        )
        decision = decider.decide(messages)
        if decision.refusals:
            hashes = [refusal.leaf.hash for refusal in decision.refusals]
            decision.forget_refusals(await leaf_rows.known_refusals(self._connection, hashes))
        return decision


def _place(frontier: Frontier, decision: Decision) -> tuple[list[Placed], list[Node]]:
    placed: list[Placed] = []
    nodes: list[Node] = []
    for sequence, leaf in decision.leaves:
        hashed = leaf.hash
        placed.append(Placed(frontier.size, sequence, leaf, hashed))
        nodes += [node for node in frontier.append(hashed) if node.level % STORED_LEVELS == 0]
    return placed, nodes


async def _write_nodes(connection: psycopg.AsyncConnection, nodes: Sequence[Node]) -> None:
    if nodes:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO audit_node (level, node_index, hash) VALUES (%s, %s, %s)", [tuple(node) for node in nodes]
            )
