"""Connects to NATS, and takes and sends messages by ways of its own.

Two methods bypass the library. At thousands of messages a second, the library's own delivery costs more than the work
on the messages. Here pulled messages go to the receiver directly, without a queue and a task, and acks are written many
at a time. Only this module uses internals of the library (nats-py 2.16).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error

from service_runtime.nats_outages import connect

#: The errors that a publish or request may raise while NATS is down.
NATS_ERRORS = (Error, OSError, TimeoutError)
_VERSION = "NATS/1.0"

#: Takes a message: its reply subject, header block (None without headers) and body. Must not raise.
Receiver = Callable[[str, bytes | None, bytes], None]


def header_fields(block: bytes | None) -> dict[str, str]:
    """Returns the headers in a header block, which is `NATS/1.0`, perhaps a status, and a line per header.

    A status becomes the fields `Status` and `Description`. Bytes that are not UTF-8 are replaced.
    """
    if block is None:
        return {}
    first, *lines = block.decode(errors="replace").split("\r\n")
    fields: dict[str, str] = {}
    if len(first) > len(_VERSION):
        fields["Status"], _, fields["Description"] = first[len(_VERSION) :].strip().partition(" ")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name] = value.strip()
    return fields


class NatsConnection(Client):
    """The library's client, with direct receivers and combined publishes."""

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[int, Receiver] = {}

    async def receive(self, subject: str, receiver: Receiver) -> Subscription:
        """Subscribes. Messages go to `receiver` as they are read from the socket, also after a reconnect."""
        subscription = await self.subscribe(subject)
        self._receivers[subscription._id] = receiver  # noqa: SLF001 - the server sends this id with each message
        return subscription

    async def publish_all(self, subjects: Sequence[str], body: bytes) -> None:
        """Publishes the same body to many subjects, in one write while connected. Raises one of NATS_ERRORS."""
        if not subjects:
            return
        if not self.is_connected:
            for subject in subjects:
                await self.publish(subject, body)
            return
        end = f" {len(body)}\r\n".encode() + body + b"\r\n"
        await self._send_command(b"".join([b"PUB " + subject.encode() + end for subject in subjects]))
        await self._flush_pending()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Passes a message to its receiver, or to the library when its subscription has none."""
        receiver = self._receivers.get(sid)
        if receiver is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            receiver(reply.decode(), headers, data)


async def connect_nats(url: str, name: str) -> NatsConnection:
    """Connects to one of the servers in `url` (separated by commas). Retries until that succeeds."""
    client = NatsConnection()
    await connect(client, url, name)
    return client
