"""Provides the pool of database connections for commands, configured as the unit of work expects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncRawCursor
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from command_service.storage.connection.arrays import ArrayDumper
from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.turns import Turns
from service_runtime.at_once import at_once

APPLICATION_NAME = "tandem-command"
#: How many seconds a command waits for a free connection before the service counts as overloaded.
ACQUIRE_SECONDS = 3.0
CONNECT_TIMEOUT_SECONDS = 5
#: If a process freezes inside a transaction, the server ends the session and frees its locks after so many seconds.
IDLE_IN_TRANSACTION_SECONDS = 60
#: TCP notices within about this time that the other machine vanished, on idle connections too.
VANISHED_SECONDS = 15
#: A connection counts as broken when the server has not answered a round trip for this long.
ANSWER_SECONDS = 35.0
#: The same limit for the empty statement that checks an idle connection.
CHECK_SECONDS = 2.0


class CommandPool(AsyncConnectionPool[CommandConnection]):
    """A pool of database connections for commands. It lends a connection to one `Conversation` at a time.

    A connection is lent again only when it has no open transaction and no pending answer. Otherwise the pool closes the
    connection and opens another one in its place.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._turns = Turns(self.max_size, self.max_waiting)
        self._conversations: set[Conversation] = set()
        self._ending: set[asyncio.Task[None]] = set()
        #: Set while no connection is lent. Only this class sets it.
        self.resting = asyncio.Event()
        self.resting.set()

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection."""
        return self._turns.waiting + int(self.get_stats().get("requests_waiting", 0))

    @asynccontextmanager
    async def conversation(self, answer_seconds: float = ANSWER_SECONDS) -> AsyncIterator[Conversation]:
        """Lends a connection as a conversation, and waits on exit until the connection is ready to be lent again.

        If the server does not answer a round trip within `answer_seconds`, the connection is broken. The exit does not
        wait for a round trip that runs to its end without its caller. If the caller is cancelled, even twice, the pool
        finishes in a task of its own. Raises PoolTimeout when no connection is free in time, TooManyRequests when too
        many callers wait.
        """
        conversation = Conversation(await self._connection(), answer_seconds)
        self._conversations.add(conversation)
        self.resting.clear()
        awaited = True
        try:
            yield conversation
        except GeneratorExit:  # the caller's coroutine is being closed, so it may not await anything here
            awaited = False
            raise
        finally:
            if conversation.at_rest:  # to return the connection hardly ever has to wait for anything
                if (rest := at_once(self._end(conversation))) is not None:
                    self._to_its_end(rest)
            else:
                ending = self._to_its_end(asyncio.create_task(self._end(conversation)))
                if awaited and not conversation.goes_on:
                    await asyncio.shield(ending)

    async def _connection(self) -> CommandConnection:
        """Returns a connection that the pool lends when it is the caller's turn."""
        left = await self._turns.take(self.timeout)
        try:
            while (connection := await self.getconn(left)).spoken_to:  # a restart of the server ends idle sessions
                await asyncio.shield(self._to_its_end(asyncio.create_task(self._replace(connection))))
        except BaseException:
            self._turns.give_back()
            raise
        return connection

    def _to_its_end(self, ending: asyncio.Task[None]) -> asyncio.Task[None]:
        """Keeps the task, which continues when the caller is cancelled."""
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return ending

    async def _replace(self, connection: CommandConnection) -> None:
        await connection.close()
        await self.putconn(connection)

    async def _end(self, conversation: Conversation) -> None:
        try:
            if not conversation.at_rest:
                await conversation.end()
        finally:
            self._conversations.discard(conversation)
            if not self._conversations:
                self.resting.set()
            try:
                await self.putconn(conversation.connection)
            finally:
                self._turns.give_back()

    def hang_up(self) -> None:
        """Breaks every connection in use, so that no command waits for a database that is known to be down."""
        for conversation in self._conversations:
            conversation.hang_up()

    async def check_idle(self) -> None:
        """Tests all idle connections and replaces the broken ones, before a command gets one.

        It tests all connections at the same time, because its caller is the task that watches the database. If the
        database stopped answering during tests one after the other, that task would not notice for a long time.
        """
        await asyncio.gather(*(self._check_one() for _ in range(self.max_size)))

    async def _check_one(self) -> None:
        with contextlib.suppress(psycopg.Error):
            async with self.conversation(CHECK_SECONDS) as conversation:
                await conversation.run([("SELECT", ())])

    async def all_ended(self) -> None:
        """Waits until every round trip that outlived its caller has ended and its connection is back in the pool."""
        while self._ending:
            await asyncio.wait(set(self._ending))


def command_pool(
    database_url: str,
    *,
    size: int,
    least: int | None = None,
    max_waiting: int,
    statement_seconds: float,
    acquire_seconds: float = ACQUIRE_SECONDS,
    name: str = APPLICATION_NAME,
) -> CommandPool:
    """Returns a pool of `size` connections, not yet opened. At most `max_waiting` callers wait for a connection.

    It always keeps `least` connections open; by default all. No statement runs longer than `statement_seconds`,
    including its waits for locks. A caller waits at most `acquire_seconds` for a connection.
    """

    async def configure(connection: CommandConnection) -> None:
        # Send every integer as int8, so that the size of a number does not make the driver prepare a statement again.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(list, ArrayDumper)
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
            "application_name": name,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "keepalives_idle": VANISHED_SECONDS // 3,
            "keepalives_interval": VANISHED_SECONDS // 3,
            "keepalives_count": 2,
            "tcp_user_timeout": VANISHED_SECONDS * 1000,
        },
        min_size=size if least is None else least,
        max_size=size,
        max_waiting=max_waiting,
        timeout=acquire_seconds,
        # Give up soon, because the next caller tries again at once. A longer series would pause for minutes.
        reconnect_timeout=ACQUIRE_SECONDS,
        configure=configure,
        open=False,
        name=name,
    )
