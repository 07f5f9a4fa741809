"""Reads the server's answers to publishes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from relay.events.errors import Closing

#: The stream's last message is not the one we expected: somebody else has written.
_FENCED = frozenset({10070, 10071})
#: The stream will refuse this message again, because the message or its headers are larger than it allows.
_EVENT = frozenset({10054, 10097})
BATCH_TOO_LARGE = 10199
#: The batch is incomplete (one of its messages was refused), too large, or has a message id that the server knows.
_BATCH = frozenset({10176, BATCH_TOO_LARGE, 10201})


@dataclass(frozen=True, slots=True)
class Ack:
    """A success: the message, or the batch that it commits, is stored at `sequence`.

    If `duplicate`, the server knew the message's id already, and `sequence` is where it says that it stored the first
    one. `count` is the number of messages of a batch; None for a single message.
    """

    sequence: int
    duplicate: bool
    count: int | None


@dataclass(frozen=True, slots=True)
class Nack:
    """A refusal. `code` is JetStream's error number; 0 if the answer did not come from JetStream."""

    closing: Closing
    code: int
    reason: str


def read_ack(body: bytes, headers: bytes | None) -> Ack | Nack | None:
    """Reads the server's answer to a publish. Returns None for an empty answer, which only says that a batch began."""
    if not body:
        if headers is None:
            return None
        status = headers[:60].split(b"\r\n", 1)[0].decode("latin-1").removeprefix("NATS/1.0").strip()
        reason = f"the stream has no leader at present, or no stream takes the subject (status {status})"
        return Nack(Closing.UNAVAILABLE, 0, reason)
    try:
        answer = json.loads(body)
        error = answer.get("error")
        if error is None:
            return Ack(int(answer["seq"]), bool(answer.get("duplicate", False)), answer.get("count"))
        code = int(error.get("err_code", 0))
        description = str(error.get("description", "error"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Nack(Closing.UNAVAILABLE, 0, f"an answer that is no ack: {body[:80]!r}")
    return Nack(_closing(code), code, f"{description} ({code})")


def _closing(code: int) -> Closing:
    if code in _FENCED:
        return Closing.FENCED
    if code in _EVENT:
        return Closing.EVENT
    if code in _BATCH:
        return Closing.FLIGHT
    return Closing.UNAVAILABLE
