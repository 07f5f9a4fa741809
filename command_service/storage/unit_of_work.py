"""Stores order, event and response in one transaction: all of it is durable, or nothing happened.

The sequence of statements matters. First the request id is claimed; a new order's customer is added just before, so
that the claim can lock the customer. Then the order is locked (a new one by its insert), and only then the insert into
the outbox allocates a position. So the positions of one order rise with its version.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg_pool import PoolTimeout, TooManyRequests

from command_service.application.command_call import CommandCall
from command_service.application.errors import Conflict, DependencyUnavailable, Overloaded, TimedOut
from command_service.application.ports import EarlierCall, ErasureProgress, FirstCall, Recorded, StoredOrder, Unchanged
from command_service.domain.commands import OrderIdentity
from command_service.domain.errors import customer_redacted, order_id_taken, order_number_taken
from command_service.storage import command_log
from command_service.storage.connection.connections import ANSWER_SECONDS, CommandPool
from command_service.storage.database_errors import DEPENDENCY
from command_service.storage.erasure import MARK_CUSTOMER, PROGRESS, erasure
from command_service.storage.orders import ADD_CUSTOMER, ID_KEY, NUMBER_KEY, changed_order, new_order
from command_service.storage.stored_orders import LOAD, LOCK, stored_order
from command_service.storage.transaction import STATEMENT_SECONDS, StatementListener, Transaction


class PostgresUnitOfWork:
    """Implements the port `ErasingUnitOfWork` with one transaction of PostgreSQL."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def claim(self, call: CommandCall, new_order: OrderIdentity | None = None) -> FirstCall | EarlierCall:
        """Claims the request id, after waiting for a transaction that holds it. The clock is read after that wait.

        A new order's customer is added first, so that there is a row to lock. Raises RuleViolated when the id or number
        of `new_order` is taken or its customer's data was erased, and Conflict when the stored response expired between
        the two statements.
        """
        key = (call.principal, call.request_id)
        if new_order is None:
            claimed = await self._transaction.fetch((command_log.CLAIM, (*key, call.fingerprint)))
        else:
            identity = (new_order.order_id, new_order.source, new_order.order_number, new_order.customer_id)
            claimed = await self._transaction.fetch(
                (ADD_CUSTOMER, (new_order.customer_id,)),
                (command_log.CLAIM_FOR_NEW, (*key, call.fingerprint, *identity)),
            )
        if claimed is None:
            return await self._earlier(key)
        now, source_epoch, *taken = claimed
        if new_order is not None:
            id_taken, number_taken, erased = taken
            if id_taken:
                raise order_id_taken(new_order.order_id)
            if number_taken:
                raise order_number_taken(new_order.order_number, new_order.source)
            if erased:
                raise customer_redacted(new_order.customer_id)
        return FirstCall(now, source_epoch)

    async def claim_and_lock(
        self, call: CommandCall, order_id: UUID
    ) -> tuple[FirstCall, StoredOrder | None] | EarlierCall:
        """Claims, waits for the lock on the order's row, and reads the order with the changes of earlier transactions.

        All of it takes one round trip. A claim that finds an earlier call has waited for the lock in vain.
        """
        key = (call.principal, call.request_id)
        claimed, _, row = await self._transaction.fetch_each(
            (command_log.CLAIM, (*key, call.fingerprint)), (LOCK, (order_id,)), (LOAD, (order_id,))
        )
        if claimed is None:
            return await self._earlier(key)
        return FirstCall(*claimed), None if row is None else stored_order(row)

    async def _earlier(self, key: tuple[str, UUID]) -> EarlierCall:
        earlier = await self._transaction.fetch((command_log.RECALL, key))
        if earlier is None:  # it expired between the two statements
            raise Conflict
        return EarlierCall(*earlier)

    async def commit(self, call: CommandCall, recorded: Recorded | Unchanged) -> None:
        """Writes everything and commits, in one round trip. Cancelling the caller does not stop it.

        Raises RuleViolated when another order has the id or number, and otherwise as `Transaction.commit`.
        """
        key = (call.principal, call.request_id)
        if isinstance(recorded, Unchanged):
            values = (*key, recorded.response, recorded.shows)
            await self._transaction.commit((command_log.ANSWER_WITHOUT_EVENT, values))
            return
        answer = (command_log.ANSWER, (*key, recorded.response))
        order, event = recorded.after, recorded.event
        written = new_order(order, event) if recorded.before is None else changed_order(recorded.before, order, event)
        if recorded.replacement is not None:
            written += erasure(order, recorded.replacement)
        try:
            await self._transaction.commit(*written, answer)
        except UniqueViolation as error:
            if error.diag.constraint_name == ID_KEY:
                raise order_id_taken(order.order_id) from None
            if error.diag.constraint_name == NUMBER_KEY:
                raise order_number_taken(order.order_number, order.source) from None
            raise

    async def mark_redacted(self, customer_id: str) -> bool:
        """Marks the customer and commits, in two round trips."""
        known = await self._transaction.fetch((MARK_CUSTOMER, (customer_id,))) == (True,)
        if known:
            await self._transaction.commit()
        return known

    async def erasure_progress(self, customer_id: str, most: int) -> ErasureProgress:
        """Reads the index of the customer's orders."""
        row = await self._transaction.fetch((PROGRESS, (customer_id, most)))
        assert row is not None
        return ErasureProgress(*row)

    async def responses(self, principal: str, request_ids: Sequence[UUID]) -> Sequence[bytes]:
        """Reads the command log."""
        row = await self._transaction.fetch((command_log.RESPONSES, (principal, list(request_ids))))
        assert row is not None
        found: Sequence[bytes] = row[0]
        return found


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
        """Takes the pool of connections, and functions that return the state of the database.

        `available` is whether commands are accepted. `answering` is whether the database answers; if it does and a
        command finds no free connection, the service is overloaded. `statement_seconds` is the pool's limit for a
        statement. A round trip without an answer after `answer_seconds` is abandoned and breaks its connection.
        `listener` is called with the SQL texts of each transaction after it has ended.
        """
        self._pool, self._available, self._answering, self._listener = pool, available, answering, listener
        self._statement_seconds, self._answer_seconds = statement_seconds, answer_seconds

    @asynccontextmanager
    async def begin(self, deadline: float | None = None) -> AsyncIterator[PostgresUnitOfWork]:
        """Begins a unit of work on a connection of its own. The server ends its statements at `deadline`.

        `deadline` is on `time.monotonic`; None: only the pool's limit applies. Raises DependencyUnavailable while the
        database is down, Overloaded when no connection becomes free in time, TimedOut when the deadline has passed.
        """
        if not self._available():
            raise DependencyUnavailable(DEPENDENCY)
        try:
            async with self._pool.conversation(self._answer_seconds) as conversation:
                remaining = self._statement_seconds if deadline is None else deadline - time.monotonic()
                if remaining <= 0:
                    raise TimedOut
                bounded = remaining if remaining < self._statement_seconds else None
                transaction = Transaction(conversation, statement_seconds=bounded)
                try:
                    yield PostgresUnitOfWork(transaction)
                finally:
                    if self._listener is not None and transaction.begun:
                        self._listener(transaction.sent)
        except (PoolTimeout, TooManyRequests):
            busy = self._available() and self._answering()
            raise (Overloaded() if busy else DependencyUnavailable(DEPENDENCY)) from None
