"""Executes any command: once per request id, completely or not at all, whatever the caller does meanwhile.

The request id is claimed first. A second call with the same id waits for this transaction and then gets its response.
Until the commit begins, a caller who leaves ends the work. From then on the unit of work finishes the commit without
them, because its outcome would otherwise be unknown; a retry learns it. A transaction that the database ended, or whose
connection broke, is retried here. The claim makes that as safe as the caller's own retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import Conflict, ConnectionBroken, RequestIdReused
from command_service.application.ports import EarlierCall, FirstCall, NewOrder, UnitOfWork, UnitsOfWork

#: Does a command's work in the unit and returns the response's bytes; may run several times, each in a new unit.
Work = Callable[[UnitOfWork, FirstCall], Awaitable[bytes]]
ATTEMPTS = 3
PAUSE_SECONDS = 0.05


class Execution:
    """Executes commands."""

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units

    async def run(self, call: CommandCall, work: Work, new_order: NewOrder | None = None) -> CommandResult:
        """Returns the command's result: of this call, or of the first one with its request id.

        `new_order`: the order that the command creates. Raises the refusals of `work`, RequestIdReused, and the errors
        of the unit of work.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(call, work, new_order)
            except (Conflict, ConnectionBroken):
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, call: CommandCall, work: Work, new_order: NewOrder | None) -> CommandResult:
        async with self._units.begin(call.deadline) as unit:
            claim = await unit.command_log.claim(call, new_order)
            if isinstance(claim, EarlierCall):
                if claim.fingerprint != call.fingerprint:
                    raise RequestIdReused
                return CommandResult(claim.response, replayed=True)
            response = await work(unit, claim)
            unit.command_log.answer(call, response)
            await unit.commit()
            return CommandResult(response, replayed=False)
