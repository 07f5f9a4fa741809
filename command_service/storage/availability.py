"""Knows whether the database takes commands, by asking it once a second on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import AsyncRawCursor

from command_service.storage.command_connection import CommandConnection
from command_service.storage.connections import APPLICATION_NAME
from command_service.storage.conversation import Conversation
from service_runtime.outage_log import OutageLog

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
        self._conversation: Conversation | None = None
        self._last_answer = time.monotonic()
        self._outages = OutageLog("database unavailable", "database available")
        self.available = self._told = True

    @property
    def answering(self) -> bool:
        """Whether the database has answered within the patience. If not, it is what keeps commands waiting: known as
        soon as somebody asks, `available` only when the next look has failed.
        """
        return time.monotonic() - self._last_answer < PATIENCE_SECONDS

    def reason(self) -> str | None:
        """None while commands are taken, else why not."""
        return None if self.available else "PostgreSQL does not take commands"

    async def run(self) -> None:
        """Watches until cancelled. Raises what nobody expected, and what `on_change` raises."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(PERIOD_SECONDS)
        finally:
            await self._drop()

    async def _look(self) -> None:
        try:
            writable, problem = await self._ask(), "it is read-only"
        except (psycopg.Error, TimeoutError) as error:
            writable, problem = False, str(error).partition("\n")[0] or f"no answer within {ANSWER_SECONDS:g} s"
            await self._drop()
        now = time.monotonic()
        if writable:
            self._last_answer = now
        available = writable or (self.available and now - self._last_answer < PATIENCE_SECONDS)
        self.available = available
        if available:
            self._outages.works()
        else:
            self._outages.failed(problem)
        if available != self._told:
            await self._on_change(available)
            self._told = available  # or else it is told again

    async def _ask(self) -> bool:
        if self._conversation is None:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await CommandConnection.connect(
                    self._database_url,
                    autocommit=True,
                    cursor_factory=AsyncRawCursor,
                    application_name=f"{APPLICATION_NAME}-watch",
                )
            self._conversation = Conversation(connection, ANSWER_SECONDS)
        row = await (await self._conversation.run([("SELECT pg_is_in_recovery()", ())])).fetchone()
        return row == (False,)

    async def _drop(self) -> None:
        if self._conversation is not None:
            conversation, self._conversation = self._conversation, None
            await conversation.close()
