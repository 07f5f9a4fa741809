"""How any command is carried out: once per request id, whole or not at all, whatever the caller does meanwhile.

The request id is claimed first; a twin at the same moment waits for this transaction and then gets its response.
Until the commit begins a caller who gives up ends the work. From then on the commit runs to its end without them:
its outcome could otherwise not be known, and repeating the request tells it. A transaction that the database ended, or
whose connection broke, is tried again here; the claim makes that as safe as the caller's own repetition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import Conflict, ConnectionBroken, RequestIdReused
from command_service.application.ports import EarlierCall, FirstCall, UnitOfWork, UnitsOfWork

#: Does a command's work in the unit and returns the response's bytes; may run several times, each in a new unit.
Work = Callable[[UnitOfWork, FirstCall], Awaitable[bytes]]
ATTEMPTS = 3
PAUSE_SECONDS = 0.05


class _Attempt:
    """One transaction; `committing` is set from the moment its outcome may no longer be prevented."""

    def __init__(self) -> None:
        self.committing = False

    async def run(self, units: UnitsOfWork, call: CommandCall, work: Work) -> CommandResult:
        async with units.begin(call.deadline) as unit:
            claim = await unit.command_log.claim(call)
            if isinstance(claim, EarlierCall):
                if claim.fingerprint != call.fingerprint:
                    raise RequestIdReused
                return CommandResult(claim.response, replayed=True)
            response = await work(unit, claim)
            unit.command_log.answer(call, response)
            self.committing = True
            await unit.commit()
            return CommandResult(response, replayed=False)


class Execution:
    """Carries out commands and remembers those that outlive their caller."""

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units
        self._outliving: set[asyncio.Task[CommandResult]] = set()

    async def run(self, call: CommandCall, work: Work) -> CommandResult:
        """The command's result, of this call or of the first one with its request id.

        Raises the refusals of `work`, RequestIdReused, and the errors of the unit of work.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._shielded(call, work)
            except (Conflict, ConnectionBroken):
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable")

    async def _shielded(self, call: CommandCall, work: Work) -> CommandResult:
        attempt = _Attempt()
        task = asyncio.ensure_future(attempt.run(self._units, call, work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if attempt.committing:
                self._outliving.add(task)
                task.add_done_callback(self._forget)
            else:
                task.cancel()
                await asyncio.wait({task})
            raise

    def _forget(self, task: asyncio.Task[CommandResult]) -> None:
        self._outliving.discard(task)
        if not task.cancelled():
            task.exception()  # nobody is left to hear it; a repetition of the request will tell

    async def drain(self) -> None:
        """Waits until commits that outlive their callers have ended."""
        while self._outliving:
            await asyncio.wait(set(self._outliving))
