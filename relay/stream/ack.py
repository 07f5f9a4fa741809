"""Reads the server's answers to publishes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from relay.events.errors import Closing

#: The stream's last message is not the one we expected: somebody else has written.
_FENCED = frozenset({10070, 10071})
#: This one message will be refused again: larger than the stream allows, or its headers are.
_EVENT = frozenset({10054, 10097})
BATCH_TOO_LARGE = 10199
#: A batch is incomplete (one of its messages was refused), too large, or has a message id that is known.
_BATCH = frozenset({10176, BATCH_TOO_LARGE, 10201})


@dataclass(frozen=True, slots=True)
class Ack:
    """The message (or the batch that it commits) is stored at `sequence`, or known there when `duplicate`."""

    sequence: int
    duplicate: bool
    count: int | None


@dataclass(frozen=True, slots=True)
class Nack:
    """An error ack. `code` is JetStream's error number, 0 when the answer came from elsewhere."""

    closing: Closing
    code: int
    reason: str


def read_ack(body: bytes, headers: bytes | None) -> Ack | Nack | None:
    """Reads an answer; None for the empty one, which says only that a batch was begun."""
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
        return Closing.BATCH
    return Closing.UNAVAILABLE
