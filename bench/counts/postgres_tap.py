"""Counts the messages of one connection to Postgres, as its wire protocol frames them."""

from __future__ import annotations

import struct
from collections import Counter

_STARTUP = 196_608
_LENGTH = struct.Struct("!I")


class _Messages:
    """Cuts a stream of bytes into messages: a byte that tells the type, and a length that counts itself."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[bytes]:
        """Returns the types of the messages that are now complete."""
        types, data, at = [], self._rest + data, 0
        while len(data) - at >= 5:
            end = at + 1 + _LENGTH.unpack_from(data, at + 1)[0]
            if end > len(data):
                break
            types.append(data[at : at + 1])
            at = end
        self._rest = data[at:]
        return types


class PostgresTap:
    """The messages and bytes of one connection so far."""

    def __init__(self) -> None:
        self.from_client: Counter[bytes] = Counter()
        self.from_server: Counter[bytes] = Counter()
        self.bytes_sent = self.bytes_received = 0
        self._startup: bytes | None = b""
        self._client, self._server = _Messages(), _Messages()

    def sent(self, data: bytes) -> None:
        """Takes bytes from the client. The first message has no type; it begins with its length."""
        self.bytes_sent += len(data)
        if self._startup is not None:
            self._startup += data
            if len(self._startup) < 4 or len(self._startup) < (length := _LENGTH.unpack_from(self._startup)[0]):
                return
            data, self._startup = self._startup[length:], None
        self.from_client.update(self._client.add(data))

    def received(self, data: bytes) -> None:
        """Takes bytes from the server."""
        self.bytes_received += len(data)
        self.from_server.update(self._server.add(data))

    @property
    def statements(self) -> int:
        """How many statements were executed, by the extended and by the simple protocol."""
        return self.from_client[b"E"] + self.from_client[b"Q"]

    @property
    def parsed(self) -> int:
        """How many statements the server had to parse, because they were not prepared."""
        return self.from_client[b"P"] + self.from_client[b"Q"]

    @property
    def round_trips(self) -> int:
        """How often the server said that it is ready for the next query. A client waits for that."""
        return self.from_server[b"Z"]
