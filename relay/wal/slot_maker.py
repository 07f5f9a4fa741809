"""Creates a slot in the background while polling goes on. It tries until it succeeds."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from relay.events.cursor import WalCheckpoint
from relay.events.errors import LogUnavailable, Refused
from relay.outbox.database import connect
from relay.outbox.table import TableName
from relay.wal.slot import drop_slots, slots_of
from relay.wal.slot_creation import create_slot
from service_runtime.backoff import Backoff
from service_runtime.error_text import in_one_line
from service_runtime.process import cancel

_log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


class SlotMaker:
    """Creates one slot at a time. `problem` says why there is no slot yet; None before the first failed attempt."""

    def __init__(self, url: str, prefix: str, publication: str, table: TableName) -> None:
        self._url = url
        self._prefix = prefix
        self._publication = publication
        self._table = table
        self.problem: str | None = None
        self._task: asyncio.Task[WalCheckpoint] | None = None

    def begin(self) -> None:
        """Begins to create a slot, unless that has begun already.

        No slot of ours may be in use: all slots with our prefix are dropped first.
        """
        if self._task is None:
            self.problem = None
            self._task = asyncio.create_task(self._make_until_made())

    def made(self) -> WalCheckpoint | None:
        """Returns the checkpoint at which the created slot begins; None until the slot exists."""
        if self._task is None or not self._task.done():
            return None
        return self._task.result()

    async def forget(self) -> None:
        """Cancels a running attempt, and forgets a created slot."""
        task, self._task = self._task, None
        if task is not None:
            await cancel(task)

    async def _make_until_made(self) -> WalCheckpoint:
        backoff, told = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS), ""
        while True:
            try:
                connection = await connect(self._url, "tandem-relay slot")
                try:
                    await drop_slots(connection, await slots_of(connection, self._prefix))
                    return await create_slot(connection, self._url, self._prefix, self._publication, self._table)
                finally:
                    await connection.close()
            except (LogUnavailable, Refused, psycopg.Error, OSError, TimeoutError) as error:
                reason = self.problem = in_one_line(error)
            if reason != told:
                _log.warning("the log cannot be read, polling goes on", reason=reason)
                told = reason
            await asyncio.sleep(backoff.seconds())
