"""Reads the stream in its order, by a consumer that lasts as long as the session."""

from __future__ import annotations

from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from audit.leaves.stream_message import StreamMessage
from audit.storage.position import Position

#: The errors of a NATS that is down or busy.
NATS_ERRORS = (Error, OSError, TimeoutError)
#: The server forgets the consumer this long after its last use.
IDLE_SECONDS = 60.0
#: After so many batches without a message it asks whether the consumer is still there.
SILENT_BATCHES = 5


class StreamMissing(Exception):  # noqa: N818 - says what is wrong
    """The stream does not exist yet. The relay creates it."""


class DeliveryGap(Exception):  # noqa: N818 - says what happened
    """A message was delivered that does not follow the last one, so one was lost on its way. Read again."""


class Opened(NamedTuple):
    """Where reading starts, after the position `after`. `lost` counts messages that left before they were read."""

    after: Position
    lost: int

    @property
    def stream_created_at(self) -> int:
        """When the stream was created, in µs since 1970."""
        return self.after.stream_created_at


class StreamReader:
    """Reads one stream, or only its messages on `subjects`.

    Without acknowledgements: what was read is known by the position that is committed.
    """

    def __init__(self, client: Client, stream: str, subjects: str = "") -> None:
        self._client, self._stream, self._subjects = client, stream, subjects
        self._pull: JetStreamContext.PullSubscription | None = None
        self._delivered = self._silent = 0
        self.pending = 0

    async def open(self, position: Position) -> Opened:
        """Starts after `position`, or from the first message if the stream is another one or was set back.

        Raises StreamMissing, or one of NATS_ERRORS.
        """
        jetstream = self._client.jetstream()
        try:
            info = await jetstream.stream_info(self._stream)
        except NotFoundError:
            raise StreamMissing(f"the stream {self._stream} does not exist; the relay creates it") from None
        created_at = 0 if info.created is None else int(info.created.timestamp() * 1_000_000)
        first = _first_sequence(info)
        continues = position.stream_created_at == created_at and position.sequence <= info.state.last_seq
        wanted = position.sequence + 1 if continues else 1
        start = max(wanted, first, 1)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=IDLE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )
        self._pull = await jetstream.pull_subscribe(self._subjects, stream=self._stream, config=config)
        self._delivered = self._silent = 0
        return Opened(Position(created_at, start - 1), max(0, first - wanted) if continues else 0)

    async def batch(self, most: int, seconds: float) -> list[StreamMessage]:
        """Returns the next messages, none if there are none within `seconds`. Raises DeliveryGap, or NATS_ERRORS."""
        assert self._pull is not None
        try:
            messages = await self._pull.fetch(most, timeout=seconds)
        except TimeoutError:
            messages = []
        if not messages:
            await self._ask_for_the_consumer()
            return []
        self._silent = 0
        return [self._read(message) for message in messages]

    async def _ask_for_the_consumer(self) -> None:
        """Raises an error if the consumer is gone, as after a restart of the server, which the library hides."""
        self._silent += 1
        if self._silent % SILENT_BATCHES == 0 and self._pull is not None:
            await self._pull.consumer_info()

    def _read(self, message: Msg) -> StreamMessage:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<pending>. In the longer
        # form domain and account come before the stream, and a random token may come last.
        tokens = message.reply.split(".")
        first = 2 if len(tokens) == 9 else 4
        delivered = int(tokens[first + 4])
        if delivered != self._delivered + 1:
            raise DeliveryGap(f"message {delivered} came after message {self._delivered}")
        self._delivered = delivered
        self.pending = int(tokens[first + 6])
        return StreamMessage(int(tokens[first + 3]), message.headers or {}, message.data)


def _first_sequence(info: StreamInfo) -> int:
    return info.state.first_seq if info.state.messages else info.state.last_seq + 1
