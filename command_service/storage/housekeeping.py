"""Runs the serving process's side tasks: deletes old responses and creates outbox partitions ahead of need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import structlog

from command_service.storage.connection.connections import CommandPool
from command_service.storage.connection.round_trip import OutOfStep

_log = structlog.get_logger(__name__)
PERIOD_SECONDS = 60.0
#: How many responses one transaction deletes: few, so that no command waits for it for long.
EXPIRY_BATCH = 500
PARTITIONS_AHEAD = 2

EXTEND = "SELECT extend_outbox($1::integer)"
# SKIP LOCKED leaves out the rows that another process is deleting.
EXPIRE = """
DELETE FROM command_log WHERE (principal, request_id) IN (
    SELECT principal, request_id FROM command_log
    WHERE recorded_at < clock_timestamp() - make_interval(hours => 1) * $1::float8
    ORDER BY recorded_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class Housekeeping:
    """Deletes expired responses and extends the outbox, over connections of the command pool.

    Every process of the service may do this at the same time.
    """

    def __init__(
        self,
        pool: CommandPool,
        *,
        retention_hours: float,
        on_expired: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._pool, self._retention_hours, self._on_expired = pool, retention_hours, on_expired

    async def run(self) -> None:
        """Does the work at once and then once a minute, until cancelled. Raises unexpected errors.

        An error of the database is logged, and the work is tried again after the pause.
        """
        while True:
            try:
                await self.extend_outbox()
                await self.expire_command_log()
            except psycopg.Error as error:
                _log.warning("housekeeping put off", error=type(error).__name__)
            await asyncio.sleep(PERIOD_SECONDS)

    async def extend_outbox(self) -> int:
        """Creates missing partitions so that PARTITIONS_AHEAD are ready, and returns how many it created."""
        async with self._pool.conversation() as conversation:
            row = (await conversation.run([(EXTEND, (PARTITIONS_AHEAD,))])).row()
        made = int(row[0]) if row else 0
        if made:
            _log.info("outbox partitions made", count=made)
        return made

    async def expire_command_log(self) -> int:
        """Deletes responses older than `retention_hours`, batch by batch, and returns how many it deleted."""
        expired = 0
        while True:
            async with self._pool.conversation() as conversation:
                count = (await conversation.run([(EXPIRE, (self._retention_hours, EXPIRY_BATCH))])).count
            if count is None:
                raise OutOfStep("the answer to a DELETE does not say how many rows are gone")
            expired += count
            self._on_expired(count)
            if count < EXPIRY_BATCH:
                return expired
