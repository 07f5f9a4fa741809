"""A relay that leads and is then refused, again and again, waits longer each time: each leadership costs a barrier."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.events.errors import LeadershipLost, Refused
from relay.publishing.loop import FIRST_SECONDS, LONGEST_SECONDS, Ended, PublishLoop


class Leading:
    """A lock that is always free."""

    @contextlib.asynccontextmanager
    async def lead(self, stop: asyncio.Event, on_wait: Any) -> AsyncIterator[Any]:
        """At once."""
        del stop, on_wait
        yield object()


class Deaf:
    """An observer that keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Loop(PublishLoop):
    """A loop whose leadership always ends in the same way; `waits`: what it waited for."""

    def __init__(self, cause: Exception) -> None:
        parts: Any = dict.fromkeys(("sink", "state", "parked"))
        super().__init__(mode="poll", leadership=Leading(), observer=Deaf(), **parts)
        self._cause = cause
        self._sink_seen = self._worked = True
        self.waits: list[float] = []

    async def _lead(self, *_: Any) -> Ended:
        raise self._cause

    async def _sleep(self, stop: asyncio.Event, seconds: float) -> None:  # type: ignore[override]
        self.waits.append(seconds)
        if len(self.waits) == 12:
            stop.set()


@pytest.mark.parametrize(
    ("cause", "last"), [(Refused("may not publish"), LONGEST_SECONDS), (LeadershipLost("broke off"), FIRST_SECONDS)]
)
async def test_waits_after_leaderships_that_ended(cause: Exception, last: float) -> None:
    loop = Loop(cause)
    await loop.run(asyncio.Event())
    assert last / 2 <= loop.waits[-1] <= last
    assert loop.waits[0] <= FIRST_SECONDS
