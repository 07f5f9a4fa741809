"""Reads the messages that one connection publishes to NATS and gets from it, as the protocol frames them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `header_bytes` is a part of `size`, the bytes of headers and body. `reply` is "" for none."""

    subject: str
    reply: str
    header_bytes: int
    size: int
    body: bytes


class _Messages:
    """Cuts a stream of bytes into lines, and takes the messages that some of them announce."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[Message]:
        """Returns the messages that are now complete."""
        found: list[Message] = []
        data = self._rest + data
        while True:
            line, end, rest = data.partition(_END)
            announced = _announced(line.decode()) if end else None
            size = 0 if announced is None else announced.size + len(_END)
            if not end or len(rest) < size:
                self._rest = data
                return found
            if announced is not None:
                body = rest[announced.header_bytes : announced.size]
                found.append(Message(announced.subject, announced.reply, announced.header_bytes, announced.size, body))
            data = rest[size:]


def _announced(line: str) -> Message | None:
    """Returns the message that a line announces, without its body; None for another line."""
    match line.split():
        case ["PUB", subject, *reply, size] | ["MSG", subject, _, *reply, size]:
            return Message(subject, "".join(reply), 0, int(size), b"")
        case ["HPUB", subject, *reply, headers, size] | ["HMSG", subject, _, *reply, headers, size]:
            return Message(subject, "".join(reply), int(headers), int(size), b"")
    return None


class NatsTraffic:
    """The messages of several connections so far, in the order in which they were complete."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.got: list[Message] = []
        self.seen = asyncio.Event()

    async def until(self, done: Callable[[], bool], within: float) -> None:
        """Waits until `done` is true, which is asked after each message. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not done():
                self.seen.clear()
                await self.seen.wait()

    def tap(self) -> NatsTap:
        """Returns a tap for one more connection."""
        return NatsTap(self)


class NatsTap:
    """Adds the messages of one connection to `traffic`."""

    def __init__(self, traffic: NatsTraffic) -> None:
        self._traffic = traffic
        self._client, self._server = _Messages(), _Messages()

    def sent(self, data: bytes) -> None:
        """Takes bytes from the client."""
        self._traffic.published += self._client.add(data)
        self._traffic.seen.set()

    def received(self, data: bytes) -> None:
        """Takes bytes from the server."""
        self._traffic.got += self._server.add(data)
        self._traffic.seen.set()
