"""Keeps a serving process connected to NATS: notices arrive over the connection, and requests are sent over it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection
from query_service.handlers.notices.notices import NoticeListener

#: How often to check whether the connection was closed for good.
POLL_SECONDS = 1.0
#: Opens a connection that is closed at the end of the block.
Connect = Callable[[], contextlib.AbstractAsyncContextManager[NatsConnection]]


class Listening:
    """Keeps the connection to NATS and the listener on it.

    While NATS is down, queries still get answers, because waiting readers also poll.
    """

    def __init__(self, connect: Connect, listener: NoticeListener) -> None:
        self._connect, self._listener = connect, listener
        self._connection: NatsConnection | None = None

    def connected(self) -> NatsConnection | None:
        """Returns the connection; None while NATS is down. The listener is subscribed before it is returned."""
        connection = self._connection
        return connection if connection is not None and connection.is_connected else None

    async def run(self) -> None:
        """Listens until cancelled."""
        while True:
            with contextlib.suppress(*NATS_ERRORS):
                async with self._connect() as connection:
                    await self._listener.listen(connection)
                    self._connection = connection
                    while not connection.is_closed:  # noqa: ASYNC110 - the library has no event for it
                        await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(POLL_SECONDS)
