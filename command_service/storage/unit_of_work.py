"""Stores order, event and response in one transaction: all of it is durable, or nothing happened.

The order of statements matters: the request id is claimed, the order is locked (a new one by its insert), and only then
the outbox draws positions. So the positions of one order rise with its version.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from psycopg.errors import UniqueViolation
from psycopg_pool import PoolTimeout, TooManyRequests

from command_service.application.errors import DependencyUnavailable, Overloaded, TimedOut
from command_service.storage.command_log import PostgresCommandLog
from command_service.storage.connections import ANSWER_SECONDS, CommandPool
from command_service.storage.database_errors import DEPENDENCY
from command_service.storage.orders import PostgresOrders
from command_service.storage.outbox import PostgresOutbox
from command_service.storage.transaction import STATEMENT_SECONDS, StatementListener, Transaction


class PostgresUnitOfWork:
    """One transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.command_log = PostgresCommandLog(transaction)
        self.orders = PostgresOrders(transaction)
        self.outbox = PostgresOutbox(transaction)

    async def commit(self) -> None:
        """Sends everything with the COMMIT, which a leaving caller does not end.

        Raises RuleViolated for a taken id or number, and as `translated` says.
        """
        try:
            await self._transaction.commit()
        except UniqueViolation as error:
            refusal = self.orders.refusal(error.diag.constraint_name)
            if refusal is None:
                raise
            raise refusal from None


class PostgresUnitsOfWork:
    """Creates units of work on connections of a pool."""

    def __init__(
        self,
        pool: CommandPool,
        *,
        available: Callable[[], bool] = lambda: True,
        answering: Callable[[], bool] = lambda: True,
        listener: StatementListener | None = None,
        statement_seconds: float = STATEMENT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`available`: commands are accepted. `answering`: a waiting command waits for others, not for the database.

        `statement_seconds` is the pool's limit for a statement. A statement without an answer after `answer_seconds` is
        abandoned.
        """
        self._pool, self._available, self._answering, self._listener = pool, available, answering, listener
        self._statement_seconds, self._answer_seconds = statement_seconds, answer_seconds

    @asynccontextmanager
    async def begin(self, deadline: float | None = None) -> AsyncIterator[PostgresUnitOfWork]:
        """Begins a unit of work on a connection of its own. The server ends its statements at the caller's deadline.

        Raises DependencyUnavailable while the database is down, Overloaded when all connections stay busy, TimedOut
        when the deadline has passed.
        """
        if not self._available():
            raise DependencyUnavailable(DEPENDENCY)
        try:
            async with self._pool.conversation(self._answer_seconds) as conversation:
                remaining = self._statement_seconds if deadline is None else deadline - time.monotonic()
                if remaining <= 0:
                    raise TimedOut
                transaction = Transaction(
                    conversation,
                    self._listener,
                    statement_seconds=remaining if remaining < self._statement_seconds else None,
                )
                try:
                    yield PostgresUnitOfWork(transaction)
                finally:
                    transaction.tell()
        except (PoolTimeout, TooManyRequests):
            busy = self._available() and self._answering()
            raise (Overloaded() if busy else DependencyUnavailable(DEPENDENCY)) from None
