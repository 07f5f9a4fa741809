"""Taking over one order from another system."""

from __future__ import annotations

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.ports import FirstCall, NewOrder, Representation, UnitOfWork
from command_service.application.recording import Recorder
from command_service.domain.commands import ImportOrder
from command_service.domain.decisions import decide
from command_service.domain.decisions.place_order import number_of


class ImportOrderUseCase:
    """Takes over orders, each in a transaction of its own; the result's bytes are those of an import's item."""

    def __init__(self, execution: Execution, recorder: Recorder, representation: Representation) -> None:
        self._execution, self._recorder, self._representation = execution, recorder, representation

    async def handle(self, call: CommandCall, command: ImportOrder) -> CommandResult:
        """Raises RuleViolated, OrderTooLarge, RequestIdReused, and what keeps the unit of work from its work."""

        async def work(unit: UnitOfWork, claimed: FirstCall) -> bytes:
            events = decide(None, command, claimed.now)
            recorded = self._recorder.record(
                call, claimed, None, None, events, respond=self._representation.import_result
            )
            unit.orders.add(recorded.order, recorded.records[-1])
            unit.outbox.append(recorded.records)
            return recorded.response

        new_order = NewOrder(command.order.order_id, command.order.source, number_of(command.order))
        return await self._execution.run(call, work, new_order)
