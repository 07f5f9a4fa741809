"""Carries out every command that changes an order. The domain decides what differs between them."""

from __future__ import annotations

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.ports import FirstCall, UnitOfWork
from command_service.application.recording import Recorder
from command_service.domain.commands import OrderChange
from command_service.domain.decisions import decide
from command_service.domain.errors import OrderNotFound, VersionMismatch


class ChangeOrderUseCase:
    """Changes orders. It locks an order before it reads it, so commands on one order run one after the other."""

    def __init__(self, execution: Execution, recorder: Recorder) -> None:
        self._execution, self._recorder = execution, recorder

    async def handle(self, call: CommandCall, command: OrderChange) -> CommandResult:
        """Executes one command and returns its result.

        Raises OrderNotFound, VersionMismatch, RuleViolated, OrderTooLarge, RequestIdReused, and the errors of the unit
        of work.
        """

        async def work(unit: UnitOfWork, claimed: FirstCall) -> bytes:
            stored = await unit.orders.lock(command.order_id)
            if stored is None:
                raise OrderNotFound(command.order_id)
            order = stored.order
            if call.expected_version not in (None, order.version):
                raise VersionMismatch(order.order_id, call.expected_version or 0, order.version)
            recorded = self._recorder.record(call, claimed, stored, decide(order, command, stored.now))
            unit.orders.update(order, recorded.after, recorded.event)
            unit.outbox.append(recorded.event)
            return recorded.response

        return await self._execution.run(call, work)
