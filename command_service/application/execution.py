"""Executes any command once per request id, completely or not at all.

The request id is claimed first. A second call with the same request id waits for the first call's transaction and then
gets its response. For a new order the claim also checks that the order's id and number are free. An existing order is
locked before it is read, so commands on one order run one after the other; claim, lock and order share a round trip.

If the caller is cancelled before the commit begins, the command is abandoned. Once the commit has begun, the unit of
work finishes it without the caller, because its outcome would otherwise be unknown; a retry gets the response. If
another transaction interferes or the connection breaks, the command is tried again here. Because of the claim, this is
as safe as a retry by the caller.
"""

from __future__ import annotations

import asyncio

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import Conflict, ConnectionBroken, RequestIdReused
from command_service.application.ports import EarlierCall, UnitsOfWork
from command_service.application.recording import Recorder
from command_service.domain.commands import Command, ImportOrder, PlaceOrder
from command_service.domain.decisions import decide, decide_new
from command_service.domain.errors import OrderNotFound, VersionMismatch

ATTEMPTS = 3
PAUSE_SECONDS = 0.05


class Execution:
    """Executes commands, each in one unit of work, with up to ATTEMPTS tries."""

    def __init__(self, units: UnitsOfWork, recorder: Recorder) -> None:
        self._units, self._recorder = units, recorder

    async def execute(self, call: CommandCall, command: Command) -> CommandResult:
        """Executes the command and returns its result, or the result of an earlier call with the same request id.

        Raises a `Refusal` of the domain, RequestIdReused, OrderTooLarge, and the errors of the unit of work.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(call, command)
            except (Conflict, ConnectionBroken):
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, call: CommandCall, command: Command) -> CommandResult:
        async with self._units.begin(call.deadline) as unit:
            if isinstance(command, PlaceOrder | ImportOrder):
                claim = await unit.claim(call, command.identity)
                if isinstance(claim, EarlierCall):
                    return _replayed(call, claim)
                recorded = self._recorder.record(call, claim, None, decide_new(command, claim.now))
            else:
                found = await unit.claim_and_lock(call, command.order_id)
                if isinstance(found, EarlierCall):
                    return _replayed(call, found)
                claim, stored = found
                if stored is None:
                    raise OrderNotFound(command.order_id)
                version = stored.order.version
                if call.expected_version not in (None, version):
                    raise VersionMismatch(command.order_id, call.expected_version or 0, version)
                recorded = self._recorder.record(call, claim, stored, decide(stored.order, command, stored.now))
            await unit.commit(call, recorded)
            return CommandResult(recorded.response, replayed=False)


def _replayed(call: CommandCall, earlier: EarlierCall) -> CommandResult:
    if earlier.fingerprint != call.fingerprint:
        raise RequestIdReused
    return CommandResult(earlier.response, replayed=True)
