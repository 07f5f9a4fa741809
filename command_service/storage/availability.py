"""Knows whether the database takes commands, by asking it once a second on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from psycopg import AsyncConnection

from command_service.storage.command_connection import Row
from command_service.storage.connections import APPLICATION_NAME

_log = structlog.get_logger(__name__)
PERIOD_SECONDS = 1.0
ANSWER_SECONDS = 2.0
#: Shorter gaps are left to retries: balancers shall not move all callers for a hiccup.
PATIENCE_SECONDS = 3.0

#: Gets each change; called before any command sees it.
ChangeListener = Callable[[bool], Awaitable[None]]


class DatabaseWatch:
    """`available` until the database was silent or read-only for some seconds, and again once it answers."""

    def __init__(self, database_url: str, on_change: ChangeListener) -> None:
        self._database_url, self._on_change = database_url, on_change
        self._connection: AsyncConnection[Row] | None = None
        self._last_answer = time.monotonic()
        self.available = True

    def reason(self) -> str | None:
        """None while commands are taken, else why not."""
        return None if self.available else "PostgreSQL does not take commands"

    async def run(self) -> None:
        """Watches until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(PERIOD_SECONDS)
        finally:
            await self._drop()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writable = await self._ask()
        except (psycopg.Error, TimeoutError):
            writable = False
            await self._drop()
        now = time.monotonic()
        if writable:
            self._last_answer = now
        available = writable or (self.available and now - self._last_answer < PATIENCE_SECONDS)
        if available != self.available:
            self.available = available
            _log.warning("database available" if available else "database unavailable")
            await self._on_change(available)

    async def _ask(self) -> bool:
        if self._connection is None:
            self._connection = await AsyncConnection[Row].connect(
                self._database_url, autocommit=True, application_name=f"{APPLICATION_NAME}-watch"
            )
        row = await (await self._connection.execute("SELECT pg_is_in_recovery()")).fetchone()
        return row == (False,)

    async def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
