"""Lets commands go first: an export pauses while commands are in progress, because both run in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import time

#: An export gives up the loop after so many seconds of work at most, plus the work on one order or event.
TURN_SECONDS = 0.0005
#: It waits at most so long for commands to end. So it makes progress however many commands arrive.
LONGEST_PAUSE_SECONDS = 0.02


class CommandsFirst:
    """Gives the exports of a process their turns. `resting` is set while no command is in progress."""

    def __init__(self, resting: asyncio.Event, *, longest_pause_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._resting, self._longest_pause = resting, longest_pause_seconds
        self._turn_ends = 0.0

    async def pause(self) -> None:
        """Returns at once within a turn. After it, lets the loop run, and waits until no command is in progress.

        Exports call this between the small steps of their work.
        """
        if time.perf_counter() < self._turn_ends:
            return
        await asyncio.sleep(0)
        if not self._resting.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._longest_pause):
                    await self._resting.wait()
        self._turn_ends = time.perf_counter() + TURN_SECONDS
