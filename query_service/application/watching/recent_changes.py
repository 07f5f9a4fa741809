"""Shares what watchers that catch up read: the changes they have read, and the places in which to read.

After a restart many watchers resume at about the same place. One of them reads a change from the stream, and it is
projected and encoded once for all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from query_service.application.ports.change_stream import Message
from query_service.application.watching.change import Change, Passed, read_message

#: The most bytes of messages that are remembered. They take about six times as much memory.
RECENT_BYTES = 8 * 1024 * 1024
#: What a message takes beside its body, in bytes.
_BESIDE_BODY = 500
#: How many watchers read the stream at once, and for how many seconds each, if others wait.
READERS, TURN_SECONDS = 16, 5.0


class RecentChanges:
    """Remembers the messages that were read last, by the stream's creation time and their sequence."""

    def __init__(self, most_bytes: int = RECENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._items: OrderedDict[tuple[int, int], Change | Passed] = OrderedDict()

    def get(self, stream_created_at: int, sequence: int) -> Change | Passed | None:
        """Returns a message that is remembered."""
        place = stream_created_at, sequence
        if (item := self._items.get(place)) is not None:
            self._items.move_to_end(place)
        return item

    def read(self, stream_created_at: int, message: Message) -> Change | Passed:
        """Returns what a message says, as `read_message` does. It is read once for all."""
        item = self.get(stream_created_at, message.sequence)
        if item is None:
            item = self._items[stream_created_at, message.sequence] = read_message(message)
            self._bytes += _size(item)
            while self._bytes > self._most_bytes:
                self._bytes -= _size(self._items.popitem(last=False)[1])
        return item


class Turn:
    """The right to read the stream. It is `over` after some seconds, also while the watcher sends nothing."""

    def __init__(self, places: asyncio.Semaphore, seconds: float) -> None:
        self._places = places
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)
        self.over = False

    def end(self) -> None:
        """Gives the place to another watcher."""
        if not self.over:
            self.over = True
            self._timer.cancel()
            self._places.release()


class Turns:
    """Lets few watchers read the stream at once, so that the others find what these have read."""

    def __init__(self, readers: int = READERS, seconds: float = TURN_SECONDS) -> None:
        self._places, self._seconds = asyncio.Semaphore(readers), seconds

    async def begin(self, patience: float) -> Turn | None:
        """Waits for a turn, up to `patience` seconds; then returns None."""
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            return None
        return Turn(self._places, self._seconds)


def _size(item: Change | Passed) -> int:
    return _BESIDE_BODY + (item.size if isinstance(item, Change) else 0)
