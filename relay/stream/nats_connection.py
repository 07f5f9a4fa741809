"""Connects to NATS with nats-py. Publishes and acks bypass the library, for speed and for exact acks.

The library's asynchronous publish never resolves when the server answers with an error, and its publish, parse and
callback code costs more than the message itself. So the connection writes many frames at once. It recognises plain
acks of one inbox before the library's parser reads them; all other answers go through the parser. Only this module uses
internals of the library (2.16), and `tests/unit/relay` checks those that it relies on.

A connection never reconnects. When it breaks, a new session opens a new one and reads from the stream what was stored.
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
from relay.stream.plain_acks import PlainAcks
from service_runtime.error_text import in_one_line
from service_runtime.nats_files import UnfitFile, tls_context

_log = structlog.get_logger(__name__)

#: The errors of a connection to NATS. After each of them the relay tries again later.
NATS_ERRORS = (OSError, TimeoutError, nats.errors.Error)
#: The text of a server that does not let a user in, or does not any more.
_SHUT_OUT = re.compile("authorization violation|authentication (?:expired|revoked)", re.IGNORECASE)
_REMEDY = "check the user and password of RELAY_NATS_URL, or RELAY_NATS_CREDENTIALS_FILE"
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
CONNECT_TIMEOUT_SECONDS = 2
FLUSH_TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Which servers to connect to, and how. `login` comes from `nats_login`. The path of an unused file is empty."""

    servers: tuple[str, ...]
    login: Mapping[str, str] = field(default_factory=dict)
    credentials_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


class AckReceiver(Protocol):
    """Receives the acks that arrive on the ack inbox, and the refusals of the server."""

    def on_plain_ack(self, number: int, sequence: int) -> None:
        """Handles the plain ack of the message that was sent as `number`: it is stored at `sequence`."""

    def on_ack(self, subject: bytes, body: bytes, headers: bytes | None) -> None:
        """Handles one other message of the inbox. `headers` is its raw header block, None without headers."""

    def on_denied(self, denial: Refused) -> None:
        """Handles a missing right of our user: the server dropped a message of ours, or will send us none."""


class AckFirstParser:
    """Removes plain acks from the start of the input, before the library's parser sees it."""

    def __init__(self, parser: Parser, plain: PlainAcks, receiver: AckReceiver) -> None:
        self._parser = parser
        self._plain = plain
        self._receiver = receiver
        self._held = b""

    @property
    def buf(self) -> bytearray:
        """The bytes that the library's parser has not finished."""
        return self._parser.buf

    def reset(self) -> None:
        """Forgets incomplete input."""
        self._held = b""
        self._parser.reset()

    async def parse(self, data: bytes = b"") -> None:
        """Parses the next bytes of the connection."""
        if self._parser.state == AWAITING_CONTROL_LINE:
            if self._held or self._parser.buf:
                data, self._held = bytes(self._parser.buf) + self._held + data, b""
                self._parser.buf.clear()
            acks, data = self._plain.taken(data)
            for number, sequence in acks:
                self._receiver.on_plain_ack(number, sequence)
            if self._plain.incomplete(data):
                self._held = data
                return
        await self._parser.parse(data)


class NatsConnection(Client):
    """A connection that ends at its first failure. `on_closed` is called once, with the reason.

    `denial` is the last right that our user lacked, according to the server; None if there was none. The server drops
    such messages but keeps the connection, so a caller that gets no answer must check `denial`.
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
        """Connects. Raises one of NATS_ERRORS if no server can be reached, Refused if a server rejects our user."""
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
        except UnfitFile as unfit:  # the file was fit when the relay started
            raise ConnectionError(str(unfit)) from None
        if context is not None:
            arguments["tls"] = context
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * 2 * len(options.servers)):
                await self.connect(
                    servers=list(options.servers),
                    name=name,
                    # Even without reconnecting, the library tries a server several times. Here once is enough.
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

    async def receive_acks(self, stream: str, receiver: AckReceiver) -> None:
        """Opens an inbox (`inbox` is its prefix, with a trailing dot) for the stream's acks."""
        self.inbox = f"{self.new_inbox()}.".encode()
        self._receiver = receiver
        subscription = await self.subscribe(f"{self.inbox.decode()}*")
        self._ack_sid = subscription._id  # noqa: SLF001 - the number that the server puts on each ack
        await self.flush(FLUSH_TIMEOUT_SECONDS)
        plain = PlainAcks(self.inbox, self._ack_sid, stream)
        self._ps = cast("Parser", AckFirstParser(self._ps, plain, receiver))

    def write(self, frames: list[bytes]) -> None:
        """Writes complete protocol frames to the socket at once. Raises OSError if the connection is gone."""
        if not self.is_connected or self._transport is None:
            raise ConnectionError("connection to NATS closed")
        self._transport.write(b"".join(frames))

    @property
    def unwritten(self) -> int:
        """The number of bytes that `write` accepted and that are not yet written to the socket."""
        writer = self._writer
        return writer.transport.get_write_buffer_size() if writer is not None else 0

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return getattr(self._transport, "_io_writer", None)

    async def end(self) -> None:
        """Closes the connection and drops everything unwritten."""
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
        """Records a missing right. `err_msg` is in lower case, so the server's own text is read from the parser."""
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
        """Passes acks straight to the receiver, and everything else to the library."""
        if sid == self._ack_sid:
            if self._receiver is not None:
                self._receiver.on_ack(subject, data, headers)
            return
        await super()._process_msg(sid, subject, reply, data, headers)
