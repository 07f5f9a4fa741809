"""Makes the few JetStream API calls of the relay, as request and reply. The stream's leader answers each call."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nats.errors

from relay.events.errors import Refused
from relay.stream.nats_connection import NatsConnection

#: A request is sent up to four times. These are the seconds to wait for each answer.
ASK_SECONDS = (0.25, 0.5, 1.0, 2.0)
NO_STREAM = 10059
NO_MESSAGE = 10037
NO_ACCOUNT = 10039


class StreamApiError(Exception):
    """JetStream answered with an error. `error_code` is the server's number for it."""

    def __init__(self, error_code: int, description: str) -> None:
        super().__init__(f"{description} ({error_code})")
        self.error_code = error_code


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the stream. Header names keep their case. If a header is repeated, it has the last value."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The server's description of a stream: configuration and state as in the API, `created` in RFC 3339."""

    config: Mapping[str, Any]
    created: str
    first_sequence: int
    last_sequence: int
    messages: int
    bytes: int
    clustered: bool
    """Whether its servers are a cluster, in which a stream has replicas or may get some at any time."""

    @property
    def used_ratio(self) -> float:
        """Returns the bytes divided by the limit; 0 without a limit."""
        most = self.config.get("max_bytes", -1)
        return self.bytes / most if most > 0 else 0.0


class JetStreamApi:
    """Makes API calls over one connection.

    A call raises StreamApiError, an error of the connection, or Refused if our user lacks the right.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def stream_info(self, stream: str) -> StreamInfo | None:
        """Returns state and configuration; None if there is no such stream."""
        try:
            answer = await self._request(f"STREAM.INFO.{stream}", {})
        except StreamApiError as error:
            if error.error_code == NO_STREAM:
                return None
            raise
        state = answer["state"]
        return StreamInfo(
            answer["config"],
            answer["created"],
            state["first_seq"],
            state["last_seq"],
            state["messages"],
            state["bytes"],
            bool(answer.get("cluster", {}).get("name")),
        )

    async def create_stream(self, config: Mapping[str, Any]) -> None:
        """Creates the stream; no error if one with the same configuration exists."""
        await self._request(f"STREAM.CREATE.{config['name']}", config)

    async def message(self, stream: str, sequence: int) -> StoredMessage | None:
        """Returns the message at `sequence`; None if there is none (any more)."""
        return await self._message(stream, {"seq": sequence})

    async def last_message(self, stream: str, subject: str = ">") -> StoredMessage | None:
        """Returns the last message on `subject`, which may have wildcards; None if there is none."""
        return await self._message(stream, {"last_by_subj": subject})

    async def _message(self, stream: str, wanted: Mapping[str, Any]) -> StoredMessage | None:
        try:
            answer = await self._request(f"STREAM.MSG.GET.{stream}", wanted)
        except StreamApiError as error:
            if error.error_code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return StoredMessage(
            message["seq"],
            message["subject"],
            parse_headers(base64.b64decode(message.get("hdrs", ""))),
            base64.b64decode(message.get("data", "")),
        )

    async def _request(self, operation: str, body: Mapping[str, Any]) -> Any:
        payload = json.dumps(body).encode() if body else b""
        answer = json.loads(await self._answer(operation, payload))
        if "error" in answer:
            error = answer["error"]
            if error.get("err_code") == NO_ACCOUNT:
                raise Refused("the account of the relay's NATS user has no JetStream: enable it there, or use another")
            raise StreamApiError(error.get("err_code", error.get("code", 0)), error.get("description", "error"))
        return answer

    async def _answer(self, operation: str, payload: bytes) -> bytes:
        """Returns the answer to a request. Repeats the request, because servers never answer it during an election."""
        for seconds in ASK_SECONDS:
            try:
                return (await self._connection.request(f"$JS.API.{operation}", payload, timeout=seconds)).data
            except nats.errors.TimeoutError:
                if self._connection.denial is not None:
                    raise self._connection.denial from None
            except nats.errors.NoRespondersError:
                raise ConnectionError("JetStream is not enabled there, or away") from None
        raise TimeoutError(
            f"no answer to {operation} for {sum(ASK_SECONDS):g} s; a stream in a cluster may have no leader now"
        )


def parse_headers(block: bytes) -> dict[str, str]:
    """Reads a stored header block (`NATS/1.0`, then one `Name: value` a line)."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip()
    return headers
