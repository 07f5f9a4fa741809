"""Watches whether the database accepts commands, by asking it once a second on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg

from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.connections import APPLICATION_NAME
from command_service.storage.connection.conversation import Conversation
from service_runtime.countdown import Countdown
from service_runtime.outage_log import OutageLog

PERIOD_SECONDS = 1.0
ANSWER_SECONDS = 2.0
#: The service reports an outage only after this long without an answer, so that load balancers do not move all callers
#: for a short gap, which retries bridge. It is a little less than PERIOD_SECONDS + ANSWER_SECONDS, so it has passed
#: when the first question to a silent database fails.
PATIENCE_SECONDS = 2.75

#: Called with the new value of `available` at each change.
ChangeListener = Callable[[bool], Awaitable[None]]


class DatabaseWatch:
    """Knows whether the database accepts commands.

    `available` becomes false when the database has been silent or read-only for PATIENCE_SECONDS. It becomes true when
    the database accepts commands again. `answering` is whether a probe succeeded within the last PATIENCE_SECONDS. It
    can become false before the next probe fails. A command that finds no free connection then knows that the database
    is the cause, and not too many commands.
    """

    def __init__(self, database_url: str, on_change: ChangeListener) -> None:
        self._database_url, self._on_change = database_url, on_change
        self._conversation: Conversation | None = None
        self._patience: Countdown | None = None
        self.answering = True
        self._outages = OutageLog("database unavailable", "database available")
        self.available = self._told = True

    def reason(self) -> str | None:
        """Returns None while commands are accepted, otherwise why they are not."""
        return None if self.available else "PostgreSQL does not take commands"

    async def run(self) -> None:
        """Watches until cancelled. Raises unexpected errors, and what `on_change` raises."""
        self._be_patient()
        try:
            while True:
                await self._look()
                await asyncio.sleep(PERIOD_SECONDS)
        finally:
            if self._patience is not None:
                self._patience.cancel()
            await self._drop()

    async def _look(self) -> None:
        try:
            writable, problem = await self._ask(), "it is read-only"
        except (psycopg.Error, TimeoutError) as error:
            writable, problem = False, str(error).partition("\n")[0] or f"no answer within {ANSWER_SECONDS:g} s"
            await self._drop()
        if writable:
            self._be_patient()
        available = writable or (self.available and self.answering)
        self.available = available
        if available:
            self._outages.works()
        else:
            self._outages.failed(problem)
        if available != self._told:
            await self._on_change(available)
            self._told = available  # if `on_change` raised, the next probe calls it again

    def _be_patient(self) -> None:
        """Restarts the countdown after a successful probe."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience, self.answering = Countdown(PATIENCE_SECONDS, self._be_impatient), True

    def _be_impatient(self) -> None:
        self.answering = False

    async def _ask(self) -> bool:
        if self._conversation is None:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await CommandConnection.connect(
                    self._database_url, autocommit=True, application_name=f"{APPLICATION_NAME}-watch"
                )
            self._conversation = Conversation(connection, ANSWER_SECONDS)
        answer = await self._conversation.run([("SELECT pg_is_in_recovery()", ())])
        return answer.row() == (False,)

    async def _drop(self) -> None:
        if self._conversation is not None:
            conversation, self._conversation = self._conversation, None
            await conversation.close()
