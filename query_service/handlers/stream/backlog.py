"""Counts the events of the stream that are not applied yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection
from query_service.handlers.stream.consumer import ConsumerPlan, consumer_state

#: How long NATS may take to answer.
ANSWER_SECONDS = 1.0


class StreamBacklog:
    """Asks for the consumer's state over the connection that `connected` returns, if any.

    `plan` returns the plan of the consumer that feeds readers.
    """

    def __init__(self, plan: Callable[[], ConsumerPlan], connected: Callable[[], NatsConnection | None]) -> None:
        self._plan, self._connected = plan, connected

    async def pending(self) -> int | None:
        """Returns the number of events that are not applied; None when NATS does not answer."""
        connection = self._connected()
        if connection is None:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                state = await consumer_state(connection, self._plan())
        except NATS_ERRORS:
            return None
        return None if state is None else state.pending
