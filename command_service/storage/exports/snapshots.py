"""Opens snapshots of the write model on connections of the exports' own pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from command_service.application.errors import Overloaded, TimedOut
from command_service.application.exporting.errors import ExportInterrupted, ExportTooSlow
from command_service.storage.connection.connections import ANSWER_SECONDS, CommandPool
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.message_writer import Statement
from command_service.storage.connection.round_trip import Row
from command_service.storage.database_errors import DEPENDENCY, meaning_of
from command_service.storage.exports.settled_position import settled_position
from command_service.storage.exports.snapshot import PostgresSnapshot

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The snapshot is taken before the clock is read, so everything in it was committed before that time.
MOMENT = "SELECT clock_timestamp(), (SELECT epoch FROM source)"


class PostgresSnapshots:
    """Implements the port `Snapshots`.

    `pause` is called before each row. `available` returns whether the database accepts commands. A round trip without
    an answer after `answer_seconds` breaks its connection.
    """

    def __init__(
        self,
        pool: CommandPool,
        *,
        pause: Callable[[], Awaitable[None]],
        available: Callable[[], bool] = lambda: True,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._pool, self._pause = pool, pause
        self._available, self._answer_seconds = available, answer_seconds

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresSnapshot]:
        """Opens a snapshot of now, which ends with the block."""
        async with self._conversation() as conversation:
            row = (await conversation.run([(BEGIN, ()), (MOMENT, ())])).row()
            assert row is not None
            read_time, source_epoch = row
            yield PostgresSnapshot(conversation, read_time, source_epoch, self._pause)

    async def settled_position(self) -> int:
        """Returns a position up to which no event can appear any more."""
        return await settled_position(self._ask)

    async def _ask(self, statement: Statement) -> Row:
        async with self._conversation() as conversation:
            row = (await conversation.run([statement])).row()
        assert row is not None
        return row

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator[Conversation]:
        unavailable = ExportInterrupted(DEPENDENCY, f"{DEPENDENCY} cannot be reached")
        if not self._available():
            raise unavailable
        try:
            async with self._pool.conversation(self._answer_seconds) as conversation:
                yield conversation
        except (PoolTimeout, TooManyRequests):
            raise (Overloaded() if self._available() else unavailable) from None
        except psycopg.Error as error:
            meaning = meaning_of(error)
            if meaning is None:
                raise
            raise (ExportTooSlow() if isinstance(meaning, TimedOut) else unavailable) from None
