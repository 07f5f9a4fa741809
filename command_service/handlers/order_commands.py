"""Serves the methods of `OrderCommandService`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.application.command_call import CommandCall
from command_service.application.execution import Execution
from command_service.handlers.caller import deadline_of, principal_of, traceparent_of
from command_service.handlers.order_imports import OrderImports
from command_service.metrics import CommandMetrics
from command_service.wire.commands import COMMANDS, ToCommand, fingerprint
from service_runtime.edge.service_methods import Behaviour, Call

SERVICE = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
REPLAYED = (("tandem-replayed", "true"),)


class OrderCommands:
    """Serves every command: the unary methods itself, and the stream of `ImportOrders` through `imports`."""

    def __init__(self, execution: Execution, imports: OrderImports, metrics: CommandMetrics) -> None:
        self._execution, self._imports, self._metrics = execution, imports, metrics

    def behaviours(self) -> Mapping[str, Behaviour]:
        """Returns, by method name, the function that serves the method."""
        unary = {method: partial(self.execute, to_command) for method, to_command in COMMANDS.items()}
        return {"ImportOrders": self._imports.import_orders, **unary}

    async def execute(self, to_command: ToCommand, request: Any, call: Call) -> bytes:
        """Executes the command that `to_command` makes from the request, and returns the serialised response.

        If the call is a retry, the trailing metadata says so: `tandem-replayed: true`.
        """
        command_call = CommandCall(
            principal=principal_of(call.context),
            request_id=UUID(request.request_id),
            fingerprint=fingerprint(request),
            reason=request.reason,
            traceparent=traceparent_of(call.context),
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            deadline=deadline_of(call.context),
        )
        result = await self._execution.execute(command_call, to_command(request, command_call.derived_id))
        if result.replayed:
            self._metrics.replayed()
            call.context.set_trailing_metadata(REPLAYED)
        return result.response
