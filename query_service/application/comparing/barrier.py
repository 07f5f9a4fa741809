"""Waits until everything that the write side had at a time is in the read model.

Without this wait a comparison would report every change that is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from query_service.application.ports.checked_store import CheckedStore
from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.read_store import Freshness

POLL_SECONDS = 0.1


class ReadModelLags(DependencyDown):
    """The read model did not catch up in time, so it cannot be compared. Nothing is wrong with what it has."""


class AppliedBarrier:
    """Waits for barriers in `store`, at most `patience` seconds each. `clock` is in seconds."""

    def __init__(self, store: CheckedStore, clock: Callable[[], float], *, patience: float = 30.0) -> None:
        self._store, self._clock, self._patience = store, clock, patience

    async def passed(self, time: int, source_epoch: int) -> None:
        """Waits until everything committed before `time` in this epoch is applied or parked. Raises ReadModelLags."""
        deadline = self._clock() + self._patience
        while not _covers(known := await self._store.freshness(), time, source_epoch):
            if self._clock() >= deadline:
                raise ReadModelLags("read model", _why(known, source_epoch, self._patience))
            await asyncio.sleep(POLL_SECONDS)


def _covers(known: Freshness | None, time: int, source_epoch: int) -> bool:
    return known is not None and known.source_epoch == source_epoch and known.as_of >= time


def _why(known: Freshness | None, source_epoch: int, patience: float) -> str:
    if known is not None and known.source_epoch != source_epoch:
        return f"it is at source epoch {known.source_epoch}, and the source at {source_epoch}; it was not compared"
    return f"it did not catch up with the source within {patience:.0f} s, so it was not compared"
