"""Drops, in the background, the slots that earlier runs have left, because an unread slot fills the server's disk."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from relay.events.errors import Refused
from relay.outbox.database import connect
from relay.wal.slot import drop_slots, slots_of
from service_runtime.backoff import Backoff
from service_runtime.error_text import in_one_line
from service_runtime.process import cancel

_log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


class SlotCleanup:
    """Drops old slots for the leader. If somebody else reads a slot, it tries again until it can drop the slot."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._task: asyncio.Task[None] | None = None

    async def begin(self, keep: str | None = None) -> None:
        """Begins to drop all slots with our prefix, except `keep`, which is in use."""
        await self.end()
        self._task = asyncio.create_task(self._drop_all(keep))

    async def end(self) -> None:
        """Stops dropping slots."""
        task, self._task = self._task, None
        if task is not None:
            await cancel(task)

    async def _drop_all(self, keep: str | None) -> None:
        # The slots are listed only once: a leader that was stopped must not drop a slot that its successor has made.
        names: list[str] | None = None
        backoff, told = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS), ""
        while True:
            try:
                connection = await connect(self._url, "tandem-relay slot")
                try:
                    if names is None:
                        names = [name for name in await slots_of(connection, self._prefix) if name != keep]
                    names = await drop_slots(connection, names)
                finally:
                    await connection.close()
                if not names:
                    return
                reason = "somebody reads them, or this role may not drop them"
            except (Refused, psycopg.Error, OSError, TimeoutError) as error:
                reason = in_one_line(error)
            if reason != told:
                told = reason
                _log.warning("slots of an earlier run cannot be dropped yet, and keep the log", slots=names, why=reason)
            await asyncio.sleep(backoff.seconds())
