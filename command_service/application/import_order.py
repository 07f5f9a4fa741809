"""Imports one order from another system."""

from __future__ import annotations

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.ports import FirstCall, NewOrder, UnitOfWork
from command_service.application.recording import Recorder
from command_service.domain.commands import ImportOrder
from command_service.domain.decisions import decide_new


class ImportOrderUseCase:
    """Imports orders, each in a transaction of its own. The result's bytes are those of one import result."""

    def __init__(self, execution: Execution, recorder: Recorder) -> None:
        self._execution, self._recorder = execution, recorder

    async def handle(self, call: CommandCall, command: ImportOrder) -> CommandResult:
        """Imports an order. Raises RuleViolated, OrderTooLarge, RequestIdReused, and the errors of the unit of work."""

        async def work(unit: UnitOfWork, claimed: FirstCall) -> bytes:
            decision = decide_new(command, claimed.now)
            recorded = self._recorder.record(call, claimed, None, decision)
            unit.orders.add(recorded.after, recorded.event)
            unit.outbox.append(recorded.event)
            return recorded.response

        new_order = NewOrder(command.order.order_id, command.order.source, command.order.number)
        return await self._execution.run(call, work, new_order)
