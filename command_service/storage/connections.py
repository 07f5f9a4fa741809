"""Keeps the pool of connections for commands, configured as the unit of work expects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncRawCursor
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from command_service.storage.command_connection import CommandConnection
from command_service.storage.conversation import Conversation

APPLICATION_NAME = "tandem-command"
#: How long a command waits for a free connection before the service counts as overloaded.
ACQUIRE_SECONDS = 3.0
CONNECT_TIMEOUT_SECONDS = 5
#: A session whose process froze inside a transaction gives its locks back after this long.
IDLE_IN_TRANSACTION_SECONDS = 60
#: A machine that vanished is noticed within about this time, on idle connections too.
VANISHED_SECONDS = 15
#: How long a round trip may stay without an answer before its connection counts as broken.
ANSWER_SECONDS = 35.0
#: The same for a round trip that asks for nothing.
CHECK_SECONDS = 2.0


class CommandPool(AsyncConnectionPool[CommandConnection]):
    """Lends a connection for one conversation. It takes it back in a known state, or closed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._conversations: set[Conversation] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def conversation(self, answer_seconds: float = ANSWER_SECONDS) -> AsyncIterator[Conversation]:
        """Opens a conversation on a connection of its own.

        A round trip without an answer for `answer_seconds` breaks it. Returns when the conversation has ended, but does
        not wait for work that continues without its caller. A caller that is cancelled, even twice, leaves the rest to
        the pool. Raises PoolTimeout, TooManyRequests.
        """
        while (connection := await self.getconn()).spoken_to:  # a restart of the server ends idle sessions
            await asyncio.shield(self._to_its_end(self._replace(connection)))
        conversation = Conversation(connection, answer_seconds)
        self._conversations.add(conversation)
        awaited = True
        try:
            yield conversation
        except GeneratorExit:  # the caller's coroutine is thrown away and can wait for nothing
            awaited = False
            raise
        finally:
            awaited = awaited and not conversation.at_rest and not conversation.goes_on
            ending = self._to_its_end(self._end(conversation))
            if awaited:
                await asyncio.shield(ending)

    def _to_its_end(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs the work to its end, whatever the caller does."""
        ending = asyncio.create_task(work)
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending

    async def _replace(self, connection: CommandConnection) -> None:
        await connection.close()
        await self.putconn(connection)

    async def _end(self, conversation: Conversation) -> None:
        try:
            await conversation.end()
        finally:
            self._conversations.discard(conversation)
            await self.putconn(conversation.connection)

    def hang_up(self) -> None:
        """Breaks every connection in use, so that nobody waits for a database that is known to be down."""
        for conversation in self._conversations:
            conversation.hang_up()

    async def check_idle(self) -> None:
        """Replaces broken idle connections before a command gets one.

        All at once: the database may stop answering meanwhile, and a process that waits here does not watch it.
        """
        await asyncio.gather(*(self._check_one() for _ in range(self.max_size)))

    async def _check_one(self) -> None:
        with contextlib.suppress(psycopg.Error):
            async with self.conversation(CHECK_SECONDS) as conversation:
                await conversation.run([("SELECT", ())])

    async def all_ended(self) -> None:
        """Waits until no conversation continues without its caller."""
        while self._ending:
            await asyncio.wait(set(self._ending))


def command_pool(database_url: str, *, size: int, max_waiting: int, statement_seconds: float) -> CommandPool:
    """Returns an unopened pool of `size` connections; at most `max_waiting` callers wait for one.

    No statement runs longer than `statement_seconds`, including its waits for locks.
    """

    async def configure(connection: CommandConnection) -> None:
        # One type for all integers: a prepared statement is not prepared anew for each size of number.
        connection.adapters.register_dumper(int, Int8Dumper)
        await connection.execute(
            "SELECT set_config('statement_timeout', $1, false),"
            " set_config('idle_in_transaction_session_timeout', $2, false), set_config('TimeZone', 'UTC', false)",
            (f"{round(statement_seconds * 1000)}ms", f"{IDLE_IN_TRANSACTION_SECONDS}s"),
        )

    return CommandPool(
        database_url,
        connection_class=CommandConnection,
        kwargs={
            "autocommit": True,
            "cursor_factory": AsyncRawCursor,
            "application_name": APPLICATION_NAME,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "keepalives_idle": VANISHED_SECONDS // 3,
            "keepalives_interval": VANISHED_SECONDS // 3,
            "keepalives_count": 2,
            "tcp_user_timeout": VANISHED_SECONDS * 1000,
        },
        min_size=size,
        max_size=size,
        max_waiting=max_waiting,
        timeout=ACQUIRE_SECONDS,
        # Give up soon: the next caller tries anew at once, a long series of attempts would pause for minutes.
        reconnect_timeout=ACQUIRE_SECONDS,
        configure=configure,
        open=False,
        name=APPLICATION_NAME,
    )
