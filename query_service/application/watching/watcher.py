"""Keeps what one watcher still has to send."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from dataclasses import dataclass

from query_service.application.ports.errors import WatcherTooSlow
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.wanted import Wanted


@dataclass(slots=True)
class Parcel:
    """An encoded change, shared by all watchers. `holders` is the number of those that still have to send it.

    `erased`: see Change.
    """

    order_id: str
    point: ResumePoint
    content: bytes
    erased: bool = False
    holders: int = 0


class WatchOver(Exception):  # noqa: N818 - it is no error
    """The watch ends as it does after some minutes: the watcher resumes."""


class Buffered:
    """Counts the bytes of all parcels that some watcher still has to send."""

    def __init__(self) -> None:
        self.bytes = 0

    def hold(self, parcel: Parcel) -> None:
        """Records that one more watcher has to send the parcel."""
        self.bytes += 0 if parcel.holders else len(parcel.content)
        parcel.holders += 1

    def release(self, parcel: Parcel) -> None:
        """Records that one watcher no longer has to send the parcel."""
        parcel.holders -= 1
        self.bytes -= 0 if parcel.holders else len(parcel.content)


class Watcher:
    """One watcher: which orders it watches, from which point, and a buffer of what it still has to send.

    `latest`: a change takes the place of an earlier one of its order that was not sent yet. `most` is the size of the
    buffer in parcels. A watcher that is `ended` sends nothing more.
    """

    def __init__(
        self, is_wanted: Wanted, point: ResumePoint, buffered: Buffered, *, latest: bool = False, most: int = 1000
    ) -> None:
        self.is_wanted, self.point = is_wanted, point
        self._buffered, self._latest, self._most = buffered, latest, most
        self._parcels: dict[str | int, Parcel] = {}
        self._numbered = 0
        self._wake = asyncio.Event()
        self._sent = point
        self.ended: Exception | None = None

    @property
    def buffered_bytes(self) -> int:
        """The size of everything in the buffer."""
        return sum(len(parcel.content) for parcel in self._parcels.values())

    @property
    def is_crowded(self) -> bool:
        """Whether the buffer is more than half full."""
        return 2 * len(self._parcels) > self._most

    def holds_unerased(self, order_ids: Set[str]) -> bool:
        """Returns whether the buffer has a change of one of these orders that is not erased."""
        return any(not parcel.erased and parcel.order_id in order_ids for parcel in self._parcels.values())

    def wants(self, sequence: int) -> bool:
        """Returns whether the watcher had not got the change with this sequence before `point`."""
        return sequence > self.point.position or sequence in self.point.owed

    def put(self, parcel: Parcel) -> None:
        """Adds a parcel to the buffer. Ends the watcher if the buffer is full."""
        if self.ended is not None:
            return
        self._numbered += 1
        key = parcel.order_id if self._latest else self._numbered
        if (replaced := self._parcels.pop(key, None)) is not None:  # the later one goes last, as its token requires
            self._buffered.release(replaced)
        elif len(self._parcels) >= self._most:
            self.too_slow()
            return
        self._buffered.hold(parcel)
        self._parcels[key] = parcel
        self._wake.set()

    def too_slow(self) -> None:
        """Ends the watcher because its buffer is too large."""
        self.end(WatcherTooSlow(self._sent.token()))

    def end(self, reason: Exception) -> None:
        """Ends the watcher, and forgets what it has not sent. `next` raises `reason`."""
        self.ended = self.ended or reason
        while self._parcels:
            self._take()
        self._wake.set()

    async def next(self, seconds: float) -> Parcel | None:
        """Waits up to `seconds` for a parcel; None if none came. Raises why the watcher ended."""
        try:
            async with asyncio.timeout(seconds):
                while self.ended is None and not self._parcels:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return None
        if self.ended is not None:
            raise self.ended
        parcel = self._take()
        self._sent = parcel.point
        return parcel

    def _take(self) -> Parcel:
        parcel = self._parcels.pop(next(iter(self._parcels)))
        self._buffered.release(parcel)
        return parcel
