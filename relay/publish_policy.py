"""How messages are fenced: chained single publishes, or atomic batches, and when which.

**chain**: each message names the sequence that the stream must end at before it (`Nats-Expected-Last-Sequence`) and,
but for the first of a session, the id of its predecessor (`Nats-Expected-Last-Msg-Id`). Both are needed: sequences
alone let a message pass whose predecessor was refused because a stranger's message took its place. So what the stream
holds of a session is a prefix of what was sent, whatever fails and whoever else writes.

**atomic**: up to 1000 messages stored together or not at all, one batch in flight, the expected sequence on the first.
One flush to disk for a batch, where a server that syncs each publish would need one for each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from relay.message import Message

MAX_BATCH = 1_000
MAX_BATCH_BYTES = 8 << 20
#: A chain is written in flights of this size, so that the server has work while we build the next.
CHAIN_FLIGHT = 256
CHAIN_FLIGHT_BYTES = 1 << 20
#: Above this time per message of a full chain flight, the server is taken to sync each publish.
_SYNCED_SECONDS = 0.0002
_MEASURED_FLIGHT = 64
_WEIGHT = 0.3
#: A new session sends a few barriers of its own before it comes to the refused events.
_BARRIERS_BETWEEN = 8


def chain_frames(messages: Sequence[Message], last_sequence: int, last_id: bytes | None, inbox: bytes) -> list[bytes]:
    """Protocol frames of chained publishes behind `last_sequence`; acks go to `<inbox><predicted sequence>`."""
    frames: list[bytes] = []
    for expected, message in enumerate(messages, last_sequence):
        link = b"Nats-Expected-Last-Msg-Id: %b\r\n" % last_id if last_id is not None else b""
        last_id = message.message_id
        headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\nNats-Expected-Last-Sequence: %d\r\n%b%b\r\n" % (
            last_id,
            expected,
            link,
            message.headers,
        )
        frames.append(_frame(message, headers, b"%b%d " % (inbox, expected + 1)))
    return frames


def batch_frames(messages: Sequence[Message], last_sequence: int, batch_id: bytes, inbox: bytes) -> list[bytes]:
    """Protocol frames of one atomic batch. Its first message is answered too, so that a refusal comes early."""
    frames: list[bytes] = []
    count = len(messages)
    for number, message in enumerate(messages, 1):
        fence = b"Nats-Expected-Last-Sequence: %d\r\n" % last_sequence if number == 1 else b""
        commit = b"Nats-Batch-Commit: 1\r\n" if number == count else b""
        headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\nNats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b%b%b\r\n" % (
            message.message_id,
            batch_id,
            number,
            fence,
            commit,
            message.headers,
        )
        reply = b"%b%d " % (inbox, last_sequence + number) if number in (1, count) else b""
        frames.append(_frame(message, headers, reply))
    return frames


def _frame(message: Message, headers: bytes, reply: bytes) -> bytes:
    body = message.body
    return b"HPUB %b %b%d %d\r\n%b%b\r\n" % (
        message.subject,
        reply,
        len(headers),
        len(headers) + len(body),
        headers,
        body,
    )


def cut(messages: Sequence[Message], start: int, max_count: int, max_bytes: int, *, whole_groups: bool) -> int:
    """Where a flight that begins at `start` ends (exclusive): within the limits, at least one message.

    With `whole_groups` it ends where no group goes on behind it, if there is such a place.
    """
    end, size = start, 0
    while end < len(messages) and end - start < max_count:
        size += messages[end].size
        if size > max_bytes and end > start:
            break
        end += 1
    if not whole_groups or end == len(messages):
        return end
    last = {messages[i].group: i for i in range(start, len(messages))}
    reach, whole = start, 0
    for i in range(start, end):
        reach = max(reach, last[messages[i].group])
        if reach == i:
            whole = i + 1
    return whole or end


class PublishPolicy:
    """Chooses for each flight; what it learns about the server outlives a session."""

    def __init__(self, setting: Literal["auto", "chain", "atomic"]) -> None:
        self._setting = setting
        self._seconds_each: float | None = None
        self._chained_left = 0
        self._max_batch = MAX_BATCH

    @property
    def max_batch(self) -> int:
        """Most messages of a batch; a server may allow fewer than usual."""
        return self._max_batch

    def atomic(self, count: int) -> bool:
        """Whether `count` waiting messages go as batches."""
        if self._setting == "chain" or count < 2 or self._chained_left > 0:
            return False
        if self._setting == "atomic":
            return True
        return self._seconds_each is not None and self._seconds_each > _SYNCED_SECONDS

    def batch_refused(self, count: int, *, too_large: bool) -> None:
        """A batch of `count` was refused for what is in it: its messages go singly, then come batches again."""
        self._chained_left = count + _BARRIERS_BETWEEN
        if too_large:
            self._max_batch = max(2, self._max_batch // 2)

    def stored(self, count: int, seconds: float, *, atomic: bool) -> None:
        """Learns from a flight that was acknowledged `seconds` after it was sent behind nothing else."""
        if atomic:
            return
        self._chained_left = max(0, self._chained_left - count)
        if count >= _MEASURED_FLIGHT:
            each = seconds / count
            old = self._seconds_each
            self._seconds_each = each if old is None else old + _WEIGHT * (each - old)
