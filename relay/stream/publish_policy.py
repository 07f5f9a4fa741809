"""Decides for each flight how its messages are fenced: as a chain of single publishes, or as an atomic batch.

**chain**: each message has two conditions: the sequence at which the stream must end (`Nats-Expected-Last-Sequence`),
and the id of the message before it (`Nats-Expected-Last-Msg-Id`; the first message of a session has no such condition).
Sequences alone would not do. If a stranger's message takes the sequence of a message that was refused, the next message
would find the expected sequence and be stored. With both conditions, the stream always holds a prefix of what the
session sent, whatever fails and whoever else writes. So the ack of a flight's last message proves all of the flight,
and no other message of the flight asks for one. If that last message is refused, it may be for a message before it. So
the messages of that flight are *suspects*: when they are sent again, each message asks for an ack, and the relay learns
which one the server refuses, and why.

**atomic**: up to 1000 messages are stored together or not at all. One batch is in flight at a time, and its first
message has the expected sequence. A server that syncs each publish to disk syncs once for a whole batch.

**In a cluster** a stream may have replicas, and a replica that catches up breaks on the id of a predecessor. So no
message has that condition there. Messages are sent in batches, or one by one if they cannot be, and each batch or
message is acknowledged before the next is sent. Then the expected sequence is enough as a fence: nothing of ours is in
flight that could be stored after a stranger's message that took the place of a refused one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Literal

from relay.events.errors import Refused
from relay.events.message import Message

MAX_BATCH = 1_000
MAX_BATCH_BYTES = 8 << 20
#: A chain is written in flights of at most this size, so that the server stores one while we build the next.
CHAIN_FLIGHT = 256
CHAIN_FLIGHT_BYTES = 1 << 20
_SIZE = itemgetter(Message._fields.index("size"))
_MESSAGE_ID = b"NATS/1.0\r\nNats-Msg-Id: "
_EXPECTED, _LINK = b"\r\nNats-Expected-Last-Sequence: ", b"\r\nNats-Expected-Last-Msg-Id: "
#: Above this ack time per message (seen: 0.02-0.04 ms lazy, 0.2-0.4 ms synced) we assume for _BELIEVED_SECONDS that the
#: server syncs every publish. We assume it only after _MEASURED_FLIGHTS slow flights: a busy machine may be slow once.
_SYNCED_SECONDS = 0.0001
_MEASURED_FLIGHT = 64
_MEASURED_FLIGHTS = 4
_BELIEVED_SECONDS = 60.0


def chain_frames(
    messages: Sequence[Message], last_sequence: int, last_id: bytes | None, inbox: bytes, *, each: bool = False
) -> list[bytes]:
    """Returns protocol frames of chained publishes after `last_sequence`.

    The last message, or `each`, asks for an ack at `<inbox><predicted sequence>`.
    """
    frames: list[bytes] = []
    # The parts of a frame are joined once. Formatting would copy a growing frame many times, and cost far more.
    end, last = b"\r\n", last_sequence + len(messages)
    before = b"%d" % last_sequence
    link, linked = (_LINK, last_id) if last_id is not None else (b"", b"")
    fixed = len(_MESSAGE_ID) + len(_EXPECTED) + 2 * len(end)
    for number, (subject, message_id, headers, body, _, _, _, _) in enumerate(messages, last_sequence + 1):
        sequence = b"%d" % number
        length = fixed + len(message_id) + len(before) + len(link) + len(linked) + len(headers)
        sizes = b" %d %d\r\n" % (length, length + len(body))
        reply = b" %b%b" % (inbox, sequence) if each or number == last else b""
        frames.append(
            b"".join(
                (
                    b"HPUB ", subject, reply, sizes,
                    _MESSAGE_ID, message_id, _EXPECTED, before, link, linked, end, headers, end, body, end,
                )
            )
        )  # fmt: skip
        before, link, linked = sequence, _LINK, message_id
    return frames


def batch_frames(messages: Sequence[Message], last_sequence: int, batch_id: bytes, inbox: bytes) -> list[bytes]:
    """Returns protocol frames of one atomic batch.

    The first message asks for an answer too, so that a refusal is known early.
    """
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
    head = b"HPUB %b %b%d %d\r\n" % (message.subject, reply, len(headers), len(headers) + len(body))
    return b"".join((head, headers, body, b"\r\n"))


def cut(messages: Sequence[Message], start: int, max_count: int, max_bytes: int, *, whole_groups: bool) -> int:
    """Returns the index at which a flight that begins at `start` ends (exclusive).

    The flight stays within the limits, but has at least one message. With `whole_groups` it ends at the last place
    within the limits at which no group is split, if there is such a place.
    """
    sizes = list(accumulate(map(_SIZE, messages[start : start + max_count])))
    end = start + max(1, bisect_right(sizes, max_bytes))
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
    """Chooses chain or batch for each flight. It keeps what it learns about the server from session to session.

    With `auto` it measures, at the beginning of a session, how long the server takes for a message of a chain. It
    measures large flights, with nothing else in flight. One quick flight decides for the chain. If every publish waits
    for the disk, all flights are slow. Then batches are used for a minute, and after that a chain is measured again.
    Small flights are not measured, because their time is mostly that of the network. In a cluster nothing is measured,
    because a chain is not possible there.
    """

    def __init__(self, setting: Literal["auto", "chain", "atomic"]) -> None:
        self._setting = setting
        self._clustered = False
        self._measuring = setting == "auto"
        self._slow_flights = 0
        self._synced_until = 0.0
        #: The ids of the suspects, and the one that was sent last.
        self._suspects, self._last_suspect = frozenset[bytes](), b""
        self._max_batch = MAX_BATCH

    def begin(self, *, clustered: bool) -> None:
        """Begins a session, perhaps with another server than the last one.

        `clustered` says that the stream has replicas, or may get some. Raises Refused if it is clustered and the
        setting is `chain`.
        """
        if clustered and self._setting == "chain":
            raise Refused(
                "the stream is in a NATS cluster, where the chain of RELAY_PUBLISH=chain would break replicas that"
                " catch up: set RELAY_PUBLISH to auto or atomic"
            )
        self._clustered = clustered
        self._measuring, self._slow_flights = self._setting == "auto" and not clustered, 0

    @property
    def max_batch(self) -> int:
        """The most messages that a batch may have. It is lowered if the server refuses a batch as too large."""
        return self._max_batch

    def atomic(self, count: int, now: float) -> bool:
        """Returns whether `count` waiting messages are to be sent as a batch at the monotonic time `now`."""
        if self._setting == "chain" or count < 2:
            return False
        return self._setting == "atomic" or self._clustered or now < self._synced_until

    def alone(self, count: int, now: float) -> bool:
        """Returns whether a flight of `count` messages must wait until nothing is in flight.

        A batch must wait, because its condition is only the sequence, not the id of the message before it. In a cluster
        no message has that id as a condition, so every flight must wait. A measured flight must wait too.
        """
        return self._clustered or self.atomic(count, now) or self.measures(count, now)

    @property
    def most_chained(self) -> int:
        """The most messages that a flight may have if it is no batch."""
        return 1 if self._clustered else CHAIN_FLIGHT

    def link(self, last_id: bytes | None) -> bytes | None:
        """Returns the id that the first message of a chained flight requires of the message before it; None if none."""
        return None if self._clustered else last_id

    def measures(self, count: int, now: float) -> bool:
        """Returns whether a flight of `count` messages is to be measured, with nothing else in flight."""
        return self._measuring and count >= _MEASURED_FLIGHT and now >= self._synced_until

    def suspected(self, messages: Sequence[Message]) -> bool:
        """Returns whether one of the messages may be the one for which a flight was refused.

        They must not be sent as a batch then, and each of a flight asks for an ack.
        """
        suspects = self._suspects
        return bool(suspects) and any(message.message_id in suspects for message in messages)

    def flight_refused(self, messages: Sequence[Message], *, too_large: bool = False) -> None:
        """Records that a flight was refused, perhaps for one of its messages.

        If it was a batch and too large, later batches may have only half as many messages as before.
        """
        self._suspects = frozenset(message.message_id for message in messages)
        self._last_suspect = messages[-1].message_id
        if too_large:
            self._max_batch = max(2, self._max_batch // 2)

    def cleared(self, messages: Sequence[Message]) -> None:
        """Records that messages are stored. When the last suspect is, the others are too."""
        if self._suspects and any(message.message_id == self._last_suspect for message in messages):
            self._suspects = frozenset()

    def named(self) -> None:
        """Records that the message is known for which a flight was refused."""
        self._suspects = frozenset()

    def stored(self, count: int, seconds: float, now: float, *, atomic: bool) -> None:
        """Records that `count` messages were acknowledged at `now`, `seconds` after the server could begin them."""
        if atomic or not self.measures(count, now):
            return
        if seconds <= count * _SYNCED_SECONDS:
            self._measuring = False
            return
        self._slow_flights += 1
        if self._slow_flights >= _MEASURED_FLIGHTS:
            self._synced_until, self._slow_flights = now + _BELIEVED_SECONDS, 0
