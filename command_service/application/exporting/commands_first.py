"""Lets commands go first: an export pauses while commands are in progress, because both run in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

#: An export gives up the loop after so many seconds of work at most, plus the work on one order or event.
TURN_SECONDS = 0.0005
#: It waits at most so long for commands to end. So it makes progress however many commands arrive.
LONGEST_PAUSE_SECONDS = 0.02
#: While the last command was less than so many seconds ago, an export rests between two turns, so that the processor is
#: free for the next command: the client, the service and the database need it one after the other.
RECENT_SECONDS, REST_SECONDS = 0.1, 0.001


class CommandsFirst:
    """Gives the exports of a process their turns. `resting` is set while no command is in progress.

    `clock` returns seconds, and `sleep` waits for some.
    """

    def __init__(
        self,
        resting: asyncio.Event,
        *,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._resting, self._longest_pause = resting, longest_pause_seconds
        self._clock, self._sleep = clock, sleep
        self._turn_ends = self._command_seen = float("-inf")

    async def pause(self) -> None:
        """Returns at once within a turn. After it, rests, and waits until no command is in progress.

        Exports call this between the small steps of their work.
        """
        if self._clock() < self._turn_ends:
            return
        recently = self._clock() - self._command_seen < RECENT_SECONDS
        await self._sleep(REST_SECONDS if recently else 0.0)
        if not self._resting.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._longest_pause):
                    await self._resting.wait()
            self._command_seen = self._clock()
        self._turn_ends = self._clock() + TURN_SECONDS
