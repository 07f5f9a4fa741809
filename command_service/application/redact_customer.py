"""Erases a customer's data from their orders, a part of the orders with each call.

The customer is marked first, so no new order of theirs appears while the others are redacted. Each order is redacted by
a command of its own, in a transaction of its own, which waits for other commands on the order. If a call dies, what it
has redacted stays so, and a retry goes on with the rest. Only the last transaction stores the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.errors import RequestIdReused
from command_service.application.execution import Execution
from command_service.application.ports import EarlierCall, ErasingUnitsOfWork, Representation, Unchanged
from command_service.domain.commands import RedactOrder
from command_service.domain.errors import CustomerNotFound

#: The most orders that one call redacts. The response's token names each of them, and can name no more.
ORDERS_PER_CALL = 64


class RedactCustomer:
    """Serves RedactCustomer. `execution` redacts the single orders."""

    def __init__(self, units: ErasingUnitsOfWork, execution: Execution, representation: Representation) -> None:
        self._units, self._execution, self._representation = units, execution, representation

    async def redact(self, call: CommandCall, customer_id: str) -> CommandResult:
        """Redacts up to ORDERS_PER_CALL orders and returns the progress, or the result of an earlier call with its id.

        Raises CustomerNotFound, RequestIdReused, and as `Execution.execute`.
        """
        earlier = await self._begin(call, customer_id)
        if earlier is not None:
            return earlier
        async with self._units.begin(call.deadline) as unit:
            progress = await unit.erasure_progress(customer_id, ORDERS_PER_CALL)
            # What a try of this call redacted before it died belongs to the response too.
            redactions = list(await unit.responses(call.principal, [_one(call, done) for done in progress.latest]))
        for order_id in progress.next[: ORDERS_PER_CALL - len(redactions)]:
            one = replace(call, request_id=_one(call, order_id))
            redactions.append((await self._execution.execute(one, RedactOrder(order_id))).response)
        return await self._end(call, customer_id, redactions)

    async def _begin(self, call: CommandCall, customer_id: str) -> CommandResult | None:
        """Returns an earlier call's result, or marks the customer and returns None."""
        async with self._units.begin(call.deadline) as unit:
            claim = await unit.claim(call, None)  # not kept: without a commit nothing is
        if isinstance(claim, EarlierCall):
            return _earlier(call, claim)
        async with self._units.begin(call.deadline) as unit:
            if not await unit.mark_redacted(customer_id):
                raise CustomerNotFound(customer_id)
        return None

    async def _end(self, call: CommandCall, customer_id: str, redactions: Sequence[bytes]) -> CommandResult:
        async with self._units.begin(call.deadline) as unit:
            claim = await unit.claim(call, None)
            if isinstance(claim, EarlierCall):  # a twin was faster
                return _earlier(call, claim)
            progress = await unit.erasure_progress(customer_id, 0)
            response = self._representation.describe_erasure(progress, redactions, claim.source_epoch)
            await unit.commit(call, Unchanged(response, shows=None))
            return CommandResult(response, replayed=False)


def _one(call: CommandCall, order_id: UUID) -> UUID:
    """Returns the request id of a single order, so that the claim of the call's own id stays free for the response."""
    return call.derived_id(f"redaction of {order_id}")


def _earlier(call: CommandCall, claim: EarlierCall) -> CommandResult:
    if claim.fingerprint != call.fingerprint:
        raise RequestIdReused
    return CommandResult(claim.response, replayed=True)
