"""Elects one leader: the relay that holds an advisory lock of the database. The session with the lock does the work.

The lock ends with the session, so nobody has to release it for a relay that died. A relay that hangs must lose the
session too, whatever the session was doing. Three settings of the session ensure that, 5 s each:

- idle between statements: `idle_session_timeout`;
- inside a transaction: `idle_in_transaction_session_timeout`;
- while the server sends a result that nobody reads: `tcp_user_timeout`, which exists over TCP only.

So a leader uses its session at least once a second, and publishes only while the session works. A standby requests the
lock four times a second instead of waiting for it, because a waiting statement would hold back vacuum.

The lock alone is not enough. A leader that was stopped for a while may still have messages in its buffers when it runs
again. The stream refuses them, because the session of a newer term has published a barrier of its own by then (see
`stream.publish_policy`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import psycopg
import structlog

from relay.events.errors import LeadershipLost
from relay.outbox.database import STATEMENT_TIMEOUT_SECONDS, DatabaseConnection, connect
from relay.outbox.database_loss import database_lost

_log = structlog.get_logger(__name__)

SESSION_TIMEOUT_SECONDS = 5
STANDBY_POLL_SECONDS = 0.25
TOUCH_SECONDS = 1.0
Result = TypeVar("Result")
Found = TypeVar("Found")
Held = TypeVar("Held", covariant=True)

#: Checks a new session before it requests the lock, and returns what the holder of the lock must know. Raises Refused
#: if the relay must not publish from this database.
SessionCheck = Callable[[DatabaseConnection], Awaitable[Found]]


class HeldLock(Generic[Held]):
    """The leader's session while it holds the lock. `found` is the result of the session's check."""

    def __init__(self, connection: DatabaseConnection, key: tuple[int, int], found: Held) -> None:
        self.connection = connection
        self.found = found
        self._key = key
        #: The monotonic time by which the session must be used again, so that the server does not end it.
        self.touch_due = time.monotonic() + TOUCH_SECONDS

    async def prove(self) -> None:
        """Asks the database whether our session holds the lock. Raises LeadershipLost if not, or without an answer."""
        with database_lost():
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                row = await (
                    await self.connection.execute(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                        " AND classid = %s::bigint::oid AND objid = %s::bigint::oid AND pid = pg_backend_pid()",
                        [one & 0xFFFFFFFF for one in self._key],
                    )
                ).fetchone()
        if row is None or row[0] != 1:
            raise LeadershipLost("the leader's lock is not held by our session any more")
        self.spoke()

    async def touch(self) -> None:
        """Uses the session if it was not used for a second. Raises LeadershipLost if the session is broken."""
        if time.monotonic() < self.touch_due:
            return
        with database_lost():
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                await self.connection.execute("SELECT 1")
        self.spoke()

    def spoke(self) -> None:
        """Records that a statement has just succeeded on the session."""
        self.touch_due = time.monotonic() + TOUCH_SECONDS

    async def release(self) -> None:
        """Releases the lock, so that a standby gets it before the session ends."""
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                await self.connection.execute("SELECT pg_advisory_unlock(%s::int, %s::int)", list(self._key))


class AdvisoryLock(Generic[Found]):
    """The lock for the leadership of one (table, stream) pair within one database."""

    def __init__(
        self,
        database_url: str,
        *,
        table: str,
        stream: str,
        check: SessionCheck[Found],
    ) -> None:
        self._url = database_url
        self._key = lock_key(table, stream)
        self._check = check

    @contextlib.asynccontextmanager
    async def lead(
        self, stop: asyncio.Event, on_wait: Callable[[Found], None] = lambda found: None
    ) -> AsyncIterator[HeldLock[Found] | None]:
        """Waits for the lock and yields the session that holds it; None if `stop` was set first.

        The session ends with the block. `on_wait` is called before each attempt to get the lock, with the result of the
        check. Raises LeadershipLost if the database cannot be reached or the session breaks, Refused if the check does.
        """
        with database_lost():
            connection = await connect(self._url, "tandem-relay leader", session_timeout=SESSION_TIMEOUT_SECONDS)
        try:
            with database_lost():
                found = await self._check(connection)
                held = await self._wait(connection, stop, lambda: on_wait(found))
                if held:
                    found = await self._check(connection)  # an adoption or a change of the table may have come before
            if not held:
                yield None
                return
            lock = HeldLock(connection, self._key, found)
            try:
                yield lock
            finally:
                await lock.release()
        finally:
            await connection.close()

    async def _wait(self, connection: DatabaseConnection, stop: asyncio.Event, on_wait: Callable[[], None]) -> bool:
        """Requests the lock until we hold it. Returns False if `stop` was set first."""
        while not stop.is_set():
            on_wait()
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                row = await (
                    await connection.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", list(self._key))
                ).fetchone()
            if row is not None and row[0]:
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), STANDBY_POLL_SECONDS)
        return False


async def while_leading(leader: HeldLock[Any], work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` and uses the leader's session meanwhile, which the server would end if it were silent for too long.

    Returns the result of `work`. Raises LeadershipLost if the session breaks.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait([task], timeout=TOUCH_SECONDS / 2))[0]:
            await leader.touch()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


def lock_key(table: str, stream: str) -> tuple[int, int]:
    """Returns the two 32-bit halves of the lock's key."""
    digest = hashlib.sha256(f"tandem relay\0{table}\0{stream}".encode()).digest()
    return int.from_bytes(digest[:4], signed=True), int.from_bytes(digest[4:8], signed=True)
