"""How messages are fenced: chained single publishes, or atomic batches, and when which.

**chain**: each message names the sequence that the stream must end at before it (`Nats-Expected-Last-Sequence`) and,
but for the first of a session, the id of its predecessor (`Nats-Expected-Last-Msg-Id`). Both are needed: sequences
alone let a message pass whose predecessor was refused because a stranger's message took its place. So what the stream
holds of a session is a prefix of what was sent, whatever fails and whoever else writes.

**atomic**: up to 1000 messages stored together or not at all, one batch in flight, the expected sequence on the first.
One flush to disk for a batch, where a server that syncs each publish would need one for each message.

**In a cluster** a stream may have replicas, and a replica that catches up breaks on the id of a predecessor. There
everything goes in batches, and what cannot goes singly: one batch or one message, and the next when it is decided.
With nothing else undecided the expected sequence is fence enough: nothing of ours can follow a stranger's message
that took the place of what was refused.
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
#: A chain is written in flights of this size, so that the server has work while we build the next.
CHAIN_FLIGHT = 256
CHAIN_FLIGHT_BYTES = 1 << 20
_SIZE = itemgetter(Message._fields.index("size"))
_MESSAGE_ID = b"NATS/1.0\r\nNats-Msg-Id: "
_EXPECTED, _LINK = b"\r\nNats-Expected-Last-Sequence: ", b"\r\nNats-Expected-Last-Msg-Id: "
#: Above this ack time per message (seen: 0.02-0.04 ms lazy, 0.2-0.4 ms synced) we assume for _BELIEVED_SECONDS that the
#: server syncs every publish. It takes _MEASURED_FLIGHTS slow flights, to ignore a hiccup of a busy machine.
_SYNCED_SECONDS = 0.0001
_MEASURED_FLIGHT = 64
_MEASURED_FLIGHTS = 4
_BELIEVED_SECONDS = 60.0
#: A new session sends a few barriers of its own before it comes to the refused events.
_BARRIERS_BETWEEN = 8


def chain_frames(messages: Sequence[Message], last_sequence: int, last_id: bytes | None, inbox: bytes) -> list[bytes]:
    """Returns protocol frames of chained publishes after `last_sequence`; acks go to `<inbox><predicted sequence>`."""
    frames: list[bytes] = []
    # Pieces are joined once: formatting would let each frame grow piece by piece, at twice the cost of all the rest.
    to_inbox, end = b" %b" % inbox, b"\r\n"
    before = b"%d" % last_sequence
    link, linked = (_LINK, last_id) if last_id is not None else (b"", b"")
    fixed = len(_MESSAGE_ID) + len(_EXPECTED) + 2 * len(end)
    for number, (subject, message_id, headers, body, _, _, _, _) in enumerate(messages, last_sequence + 1):
        sequence = b"%d" % number
        length = fixed + len(message_id) + len(before) + len(link) + len(linked) + len(headers)
        sizes = b" %d %d\r\n" % (length, length + len(body))
        frames.append(
            b"".join(
                (
                    b"HPUB ", subject, to_inbox, sequence, sizes,
                    _MESSAGE_ID, message_id, _EXPECTED, before, link, linked, end, headers, end, body, end,
                )
            )
        )  # fmt: skip
        before, link, linked = sequence, _LINK, message_id
    return frames


def batch_frames(messages: Sequence[Message], last_sequence: int, batch_id: bytes, inbox: bytes) -> list[bytes]:
    """Returns protocol frames of one atomic batch. Its first message is answered too, so that a refusal comes early."""
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
    """Returns where a flight that begins at `start` ends (exclusive): within the limits, at least one message.

    With `whole_groups` it ends where no group continues after it, if there is such a place.
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
    """Chooses for each flight; what it learns about the server outlives a session.

    `auto` measures at the beginning of a session how long the server takes for a message of a chain: full flights, with
    nothing else in flight. One quick flight decides for the chain. Where every publish waits for the disk, all are
    slow; then batches are used, and after a while a chain is tried again. Only a backlog is measured: the time of a few
    messages is that of the way there and back. In a cluster nothing is measured, as there is nothing to choose.
    """

    def __init__(self, setting: Literal["auto", "chain", "atomic"]) -> None:
        self._setting = setting
        self._clustered = False
        self._measuring = setting == "auto"
        self._slow_flights = 0
        self._synced_until = 0.0
        self._chained_left = 0
        self._max_batch = MAX_BATCH

    def begin(self, *, clustered: bool) -> None:
        """Begins a session, perhaps with another server. `clustered`: the stream has replicas, or may get some.

        Raises Refused if the setting asks for what a cluster cannot do.
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
        """Most messages of a batch; a server may allow fewer than usual."""
        return self._max_batch

    def atomic(self, count: int, now: float) -> bool:
        """Whether `count` waiting messages are sent as batches at the monotonic time `now`."""
        if self._setting == "chain" or count < 2 or self._chained_left > 0:
            return False
        return self._setting == "atomic" or self._clustered or now < self._synced_until

    def alone(self, count: int, now: float) -> bool:
        """Whether a flight of `count` messages must wait until nothing is in flight.

        A batch must: it cannot name the id of the message before it, only the sequence. In a cluster no message names
        that id, so every flight must.
        """
        return self._clustered or self.atomic(count, now) or self.measures(count, now)

    @property
    def most_chained(self) -> int:
        """Returns the most messages of a flight that is no batch."""
        return 1 if self._clustered else CHAIN_FLIGHT

    def link(self, last_id: bytes | None) -> bytes | None:
        """Returns the id that the first message of such a flight names as the message before it, if any."""
        return None if self._clustered else last_id

    def measures(self, count: int, now: float) -> bool:
        """Whether a flight of `count` messages is measured, so that nothing else may be in flight."""
        return self._measuring and count >= _MEASURED_FLIGHT and now >= self._synced_until

    def batch_refused(self, count: int, *, too_large: bool) -> None:
        """Records that a batch of `count` was refused for its content: send its messages singly, then batches again."""
        self._chained_left = count + _BARRIERS_BETWEEN
        if too_large:
            self._max_batch = max(2, self._max_batch // 2)

    def stored(self, count: int, seconds: float, now: float, *, atomic: bool) -> None:
        """Records that `count` messages were acknowledged at `now`, `seconds` after the server could begin them."""
        if atomic:
            return
        self._chained_left = max(0, self._chained_left - count)
        if not self.measures(count, now):
            return
        if seconds <= count * _SYNCED_SECONDS:
            self._measuring = False
            return
        self._slow_flights += 1
        if self._slow_flights >= _MEASURED_FLIGHTS:
            self._synced_until, self._slow_flights = now + _BELIEVED_SECONDS, 0
