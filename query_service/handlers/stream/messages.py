"""Looks up single messages of the stream by sequence."""

from __future__ import annotations

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from query_service.application.ports.errors import DependencyDown
from query_service.application.projecting.parked_events import StreamMessage
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.stream.pull import sequence_and_time
from service_runtime.error_text import in_one_line

FETCH_SECONDS = 2.0


class StreamLookUp:
    """Implements StreamMessages over a connection. Each look-up uses an ephemeral consumer of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def message(self, stream: str, sequence: int) -> StreamMessage | None:
        """See StreamMessages."""
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=FETCH_SECONDS * 5,
        )
        try:
            state = (await self._client.jetstream().stream_info(stream)).state
            if not state.first_seq <= sequence <= state.last_seq:
                return None
            subscription = await self._client.jetstream().pull_subscribe("", stream=stream, config=config)
            try:
                [message] = await subscription.fetch(1, timeout=FETCH_SECONDS)
            except NatsTimeoutError:
                return None  # the message and all after it are gone
            finally:
                await subscription.unsubscribe()
        except NotFoundError:
            return None
        except NATS_ERRORS as error:
            raise DependencyDown("nats", in_one_line(error)) from None
        found, stored_at = sequence_and_time(message.reply)
        return StreamMessage(stored_at, message.headers or {}, message.data) if found == sequence else None
