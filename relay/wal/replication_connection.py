"""Speaks Postgres's replication protocol in one session: creates slots, and streams one.

psycopg connects and sends the commands. The stream is read from libpq as it arrives, and only if `messages` is read. So
a reader that stops reading delays the server and does not fill our memory. A separate task sends feedback every second,
whatever the reader does; without feedback the server would end the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from struct import Struct

import psycopg
from psycopg import pq, sql

from relay.events.errors import LogUnavailable
from relay.outbox.database import DatabaseConnection
from relay.wal.pgoutput import ProtocolError

APPLICATION_NAME = "tandem-relay wal"
FEEDBACK_SECONDS = 1.0
#: If we send nothing for so long, the server ends the session, and the slot is free.
SENDER_TIMEOUT_SECONDS = 5
_FEEDBACK = Struct(">cQQQqB")
_POSTGRES_EPOCH = 946_684_800
#: The number of bytes before the pgoutput message: kind, start, end, time.
HEADER = 25
_DATA, _KEEPALIVE = b"wk"
_MISSING_PUBLICATION = "skipped loading publication"


class ReplicationConnection:
    """One replication session. Its methods raise psycopg.Error or LogUnavailable; after that it cannot be used."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._confirmed = 0
        self._feedback: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._watched: int | None = None
        self._ahead: bytes | None = None
        self._on_arrival: Callable[[], None] = lambda: None
        connection.add_notice_handler(self._noticed)

    @classmethod
    async def open(cls, url: str) -> ReplicationConnection:
        """Connects. Raises psycopg.Error if the server or the role does not allow it."""
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            replication="database",
            connect_timeout=5,
            application_name=APPLICATION_NAME,
            keepalives_idle=5,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=5_000,
        )
        self = cls(connection)
        try:
            await connection.execute(sql.SQL("SET wal_sender_timeout = {}").format(f"{SENDER_TIMEOUT_SECONDS}s"))
            # Creating a slot may take long. The server must notice meanwhile if we are gone.
            await connection.execute("SET client_connection_check_interval = '1s'")
            # pgoutput reports a missing publication as a warning, which must reach us.
            await connection.execute("SET client_min_messages = 'warning'")
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def server_version(self) -> int:
        """The server's version as a number, such as 180006."""
        return self._connection.info.server_version

    async def create_slot(self, name: str) -> tuple[str, str]:
        """Creates a slot for pgoutput. Returns its first log position, and the name of the snapshot at that position.

        Waits for every write transaction that is open in the cluster. The snapshot exists until our next command.
        """
        failover = sql.SQL(", FAILOVER true") if self.server_version >= 170_000 else sql.SQL("")
        cursor = await self._connection.execute(
            sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput (SNAPSHOT 'export'{})").format(
                sql.Identifier(name), failover
            )
        )
        row = await cursor.fetchone()
        assert row is not None
        return row[1], row[2]

    async def start(self, slot: str, publication: str, on_arrival: Callable[[], None]) -> None:
        """Begins to stream from the slot's position.

        After `messages` has returned None, `on_arrival` is called when it may have a message again, or an error.
        """
        self._on_arrival = on_arrival
        await self._connection.execute(
            sql.SQL(
                "START_REPLICATION SLOT {} LOGICAL 0/0"
                " (proto_version '1', publication_names {}, binary 'true', messages 'true')"
            ).format(sql.Identifier(slot), sql.Literal(sql.Identifier(publication).as_string()))
        )
        self._feedback = asyncio.create_task(self._feed_back())

    def messages(self) -> Iterator[bytes | None]:
        """Returns the messages of the stream, whose pgoutput part begins at HEADER.

        None among the messages means that no more have arrived yet. The iterator ends only with an error.
        """
        try:
            while True:
                if self._failure is not None:
                    raise self._failure
                if self._ahead is not None:
                    data, self._ahead = self._ahead, None
                    yield data
                yield from self._arrived_messages()
                self._watch()
                yield None
                # From now on only this loop reads the socket. Otherwise messages would change their order.
                self._unwatch()
        finally:
            self._unwatch()

    def _arrived_messages(self) -> Iterator[bytes]:
        get, pgconn = self._pgconn.get_copy_data, self._pgconn
        fresh = False
        while True:
            size, data = get(1)
            if size > 0:
                kind = data[0]
                if kind == _DATA:
                    yield bytes(data)
                elif kind != _KEEPALIVE:
                    raise ProtocolError(f"a stream message of kind {chr(kind)!r}")
                fresh = False
            elif size < 0:
                raise self._ended()
            elif fresh:
                return
            else:
                # Read until the socket has nothing more: TLS may hold bytes for which no reader callback would come.
                pgconn.consume_input()
                fresh = True

    def confirm(self, lsn: int) -> None:
        """Allows the server to drop the log before `lsn`. The next feedback tells it."""
        self._confirmed = max(self._confirmed, lsn)

    async def close(self) -> None:
        """Ends the session at once."""
        if self._feedback is not None:
            self._feedback.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._feedback
            self._feedback = None
        self._unwatch()
        await self._connection.close()

    async def _feed_back(self) -> None:
        try:
            while True:
                await asyncio.sleep(FEEDBACK_SECONDS)
                at, now = self._confirmed, int((time.time() - _POSTGRES_EPOCH) * 1e6)
                self._pgconn.put_copy_data(_FEEDBACK.pack(b"r", at, at, at, now, 0))
                self._pgconn.flush()
        except psycopg.Error as error:
            self._unwatch()
            self._failure = error
            self._on_arrival()

    def _watch(self) -> None:
        if self._watched is None:
            self._watched = self._pgconn.socket
            asyncio.get_running_loop().add_reader(self._watched, self._arrived)

    def _unwatch(self) -> None:
        """Stops watching the socket. Call it before libpq may close the socket, whose number could then be reused."""
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    def _arrived(self) -> None:
        """Wakes the reader for messages only, because a busy server sends a keepalive for each commit of others."""
        self._unwatch()
        try:
            self._ahead = next(self._arrived_messages(), None)
        except Exception as failure:
            self._failure = failure
        if self._ahead is not None or self._failure is not None:
            self._on_arrival()
        else:
            self._watch()

    def _ended(self) -> Exception:
        """Returns the error with which the stream ended."""
        result = self._pgconn.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            return psycopg.errors.error_from_result(result)
        return psycopg.OperationalError("the server ended the replication stream")

    def _noticed(self, notice: psycopg.errors.Diagnostic) -> None:
        if _MISSING_PUBLICATION in (notice.message_primary or ""):
            self._failure = LogUnavailable(f"the publication is missing: {notice.message_primary}")
