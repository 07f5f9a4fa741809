"""Counts what the relay publishes for one event."""

from __future__ import annotations

import json

from bench.counts.nats_tap import Message, NatsTraffic
from bench.counts.steady import Figures

#: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.…`, where a consumer acknowledges with the text `+ACK`.
_ACK, _SEQUENCE, _DONE = "$JS.ACK.", 5, b"+ACK"


class EventCounter:
    """Counts from `begin` on. `subjects` is how the subjects of the stream begin, and `barrier` is one of them."""

    def __init__(self, relay: NatsTraffic, projector: NatsTraffic, subjects: str, barrier: str) -> None:
        self._relay, self._projector = relay, projector
        self._subjects, self._barrier = subjects, barrier
        self._before = 0

    def begin(self) -> None:
        """Begins to count one event."""
        self._before = len(self._published())

    async def until_projected(self, within: float) -> None:
        """Waits until the stream has stored an event, and the projector has acknowledged it. Raises TimeoutError."""
        await self._relay.until(lambda: bool(self._stored()), within)
        await self._projector.until(lambda: self._stored() <= self._acknowledged(), within)

    async def until_barrier(self, within: float) -> None:
        """Waits for the next barrier. Raises TimeoutError."""
        before = self._barriers()
        await self._relay.until(lambda: self._barriers() > before, within)

    def figures(self) -> Figures | None:
        """Returns the counts, or None for an event after a barrier: its message names the barrier, and is shorter."""
        published = self._published()
        if not self._before or published[self._before - 1].subject == self._barrier:
            return None
        messages = published[self._before :]
        replies = {message.reply for message in messages}
        return {
            "publishes": len(messages),
            "acks": sum(answer.subject in replies for answer in self._relay.got),
            "header_bytes": sum(message.header_bytes for message in messages),
            "message_bytes": sum(message.size for message in messages),
        }

    def _published(self) -> list[Message]:
        return [message for message in self._relay.published if message.subject.startswith(self._subjects)]

    def _barriers(self) -> int:
        return sum(message.subject == self._barrier for message in self._relay.published)

    def _stored(self) -> set[int]:
        """Returns the stream's sequences of the events since `begin`."""
        events = [message.reply for message in self._published()[self._before :] if message.subject != self._barrier]
        return {json.loads(answer.body)["seq"] for answer in self._relay.got if answer.subject in events}

    def _acknowledged(self) -> set[int]:
        return {
            int(message.subject.split(".")[_SEQUENCE])
            for message in self._projector.published
            if message.subject.startswith(_ACK) and message.body == _DONE
        }
