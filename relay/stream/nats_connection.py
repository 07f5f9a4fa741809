"""Connects to NATS with nats-py, and adds two paths of our own for speed and for exact acks.

The library's asynchronous publish never resolves when the server answers with an error, and its publish, parse and
callback paths cost more than the message itself. So expected acks of one inbox are taken before the parser, all others
are passed on as parsed, and a batch of frames is written at once. Only this module reaches into the library (2.16);
`tests/unit/relay` checks what it relies on.

A connection never reconnects: the stream decides what was in flight on a broken one, in a new session.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import nats.errors
import structlog
from nats.aio.client import Client
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from relay.events.errors import Refused
from relay.stream.ack_run import AckRun
from service_runtime.error_text import in_one_line
from service_runtime.nats_files import UnfitFile, tls_context

_log = structlog.get_logger(__name__)

#: All that can go wrong in reaching NATS; each is answered by trying again later.
NATS_ERRORS = (OSError, TimeoutError, nats.errors.Error)
#: What a server says to a user that it does not let in, or not any more.
_SHUT_OUT = re.compile("authorization violation|authentication (?:expired|revoked)", re.IGNORECASE)
_REMEDY = "check the user and password of RELAY_NATS_URL, or RELAY_NATS_CREDENTIALS_FILE"
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
CONNECT_TIMEOUT_SECONDS = 2
FLUSH_TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Where and how to connect. `login`: see `nats_login`. Files may be empty."""

    servers: tuple[str, ...]
    login: Mapping[str, str] = field(default_factory=dict)
    credentials_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


Awaited = Callable[[], tuple[int, int]]


class AckReceiver(Protocol):
    """Receives what arrives on the ack inbox."""

    def on_acks(self, count: int) -> None:
        """The next `count` awaited acks have arrived, and are good."""

    def on_ack(self, subject: bytes, body: bytes, headers: bytes | None) -> None:
        """One message of the inbox, with its raw header block or None."""

    def on_denied(self, denial: Refused) -> None:
        """The server has dropped something that we sent, or will send nothing: our user lacks a right."""


class AckFirstParser:
    """Takes awaited acks from the front of the input before the library's parser sees it.

    `awaited`: (first, count) of the sequences whose acks are expected next, one each; count 0 for none.
    """

    def __init__(self, parser: Parser, run: AckRun, awaited: Awaited, receiver: AckReceiver) -> None:
        self._parser = parser
        self._run = run
        self._awaited = awaited
        self._receiver = receiver
        self._held = b""

    @property
    def buf(self) -> bytearray:
        """What the library's parser is reading."""
        return self._parser.buf

    def reset(self) -> None:
        """Forgets what is incomplete."""
        self._held = b""
        self._parser.reset()

    async def parse(self, data: bytes = b"") -> None:
        """Parses the next bytes of the connection."""
        if self._parser.state == AWAITING_CONTROL_LINE:
            if self._held or self._parser.buf:
                data, self._held = bytes(self._parser.buf) + self._held + data, b""
                self._parser.buf.clear()
            while (found := self._run.count(data, *self._awaited()))[0]:
                self._receiver.on_acks(found[0])
                data = data[found[1] :]
            if self._run.incomplete(data):
                self._held = data
                return
        await self._parser.parse(data)


class NatsConnection(Client):
    """A connection that ends at its first failure. `on_closed` is called once, with the reason.

    `denial`: what the server last said that our user may not do. It drops such messages without ending, so a caller
    that waits in vain for an answer looks here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ack_sid = -1
        self._receiver: AckReceiver | None = None
        self._on_closed: Callable[[str], None] | None = None
        self.inbox = b""
        self.denial: Refused | None = None

    @classmethod
    async def open(
        cls, options: NatsOptions, name: str, on_closed: Callable[[str], None] | None = None
    ) -> NatsConnection:
        """Connects. Raises one of NATS_ERRORS if no server can be reached, Refused if one does not let our user in."""
        self = cls()
        self._on_closed = on_closed

        problems: list[str] = []

        async def error(problem: Exception) -> None:
            problems.append(in_one_line(problem))
            del problems[:-1]
            _log.debug("nats connection", problem=problems[-1])

        async def closed() -> None:
            if self._on_closed is not None:
                self._on_closed(str(self.last_error or "connection to NATS closed"))

        arguments: dict[str, Any] = dict(options.login)
        if options.credentials_file:
            arguments["user_credentials"] = options.credentials_file
        try:
            context = tls_context(options.ca_file, options.certificate_file, options.key_file)
        except UnfitFile as unfit:  # it was right at the start
            raise ConnectionError(str(unfit)) from None
        if context is not None:
            arguments["tls"] = context
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * 2 * len(options.servers)):
                await self.connect(
                    servers=list(options.servers),
                    name=name,
                    # The library tries a server again even where it may not reconnect; once is enough here.
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    ping_interval=2,
                    max_outstanding_pings=2,
                    error_cb=error,
                    closed_cb=closed,
                    **arguments,
                )
        except NATS_ERRORS as failure:
            await self.end()
            reason = problems[-1] if problems else in_one_line(failure)
            if _SHUT_OUT.search(reason):
                raise Refused(f"NATS does not let the relay in: {reason}; {_REMEDY}") from None
            raise ConnectionError(reason) from None
        except asyncio.CancelledError:
            await self.end()
            raise
        return self

    @property
    def server_version(self) -> tuple[int, int, int]:
        """Major, minor and patch number of the server."""
        version = self.connected_server_version
        return version.major, version.minor, version.patch

    async def receive_acks(self, stream: str, awaited: Awaited, receiver: AckReceiver) -> None:
        """Opens an inbox (`inbox` is its prefix, with a trailing dot) for the stream's acks."""
        self.inbox = f"{self.new_inbox()}.".encode()
        self._receiver = receiver
        subscription = await self.subscribe(f"{self.inbox.decode()}*")
        self._ack_sid = subscription._id  # noqa: SLF001 - the number that the server puts on each ack
        await self.flush(FLUSH_TIMEOUT_SECONDS)
        run = AckRun(self.inbox, self._ack_sid, stream)
        self._ps = cast("Parser", AckFirstParser(self._ps, run, awaited, receiver))

    def write(self, frames: list[bytes]) -> None:
        """Writes complete protocol frames to the socket at once. Raises OSError if the connection is gone."""
        if not self.is_connected or self._transport is None:
            raise ConnectionError("connection to NATS closed")
        self._transport.write(b"".join(frames))

    @property
    def unwritten(self) -> int:
        """Bytes handed over that the socket has not taken yet."""
        writer = self._writer
        return writer.transport.get_write_buffer_size() if writer is not None else 0

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return getattr(self._transport, "_io_writer", None)

    async def end(self) -> None:
        """Drops the connection and everything unwritten."""
        self._on_closed = self._receiver = None
        writer = self._writer
        if writer is not None:
            writer.transport.abort()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self.close()
        except NATS_ERRORS as error:
            _log.debug("nats close", problem=in_one_line(error))

    async def _process_err(self, err_msg: str) -> None:
        """Notes a missing right. The library hands the sentence over in small letters, its parser still has ours."""
        if denied := _DENIED.search(bytes(self._ps.buf).partition(b"\r\n")[0].decode(errors="replace")):
            action = "publish" if denied[1].lower() == "publish" else "subscribe"
            subject = re.sub(r"^_INBOX\..*", "_INBOX.>", denied[2])
            self.denial = Refused(
                f"NATS does not let the relay's user {action} to {subject}: allow it that, with all that"
                " relay/README.md names (The rights in NATS)"
            )
            if self._receiver is not None:
                self._receiver.on_denied(self.denial)
        await super()._process_err(err_msg)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Acks take the short way; everything else the library's."""
        if sid == self._ack_sid:
            if self._receiver is not None:
                self._receiver.on_ack(subject, data, headers)
            return
        await super()._process_msg(sid, subject, reply, data, headers)
