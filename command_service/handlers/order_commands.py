"""Serves the methods of `OrderCommandService`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.execution import Execution
from command_service.application.redact_customer import RedactCustomer
from command_service.handlers.caller import deadline_of, principal_of, traceparent_of
from command_service.handlers.order_imports import OrderImports
from command_service.metrics import CommandMetrics
from command_service.wire.commands import COMMANDS, ToCommand, fingerprint
from service_runtime.edge.service_methods import Behaviour, Call

SERVICE = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
REPLAYED = (("tandem-replayed", "true"),)
#: Carries out what a request asks for.
UseCase = Callable[[CommandCall, Any], Awaitable[CommandResult]]


class OrderCommands:
    """Serves every command: the unary methods itself, and the stream of `ImportOrders` through `imports`."""

    def __init__(
        self, execution: Execution, redact: RedactCustomer, imports: OrderImports, metrics: CommandMetrics
    ) -> None:
        self._execution, self._redact, self._imports, self._metrics = execution, redact, imports, metrics

    def behaviours(self) -> Mapping[str, Behaviour]:
        """Returns, by method name, the function that serves the method."""
        unary = {method: partial(self.execute, self._order_command(one)) for method, one in COMMANDS.items()}
        redact = partial(self.execute, lambda call, request: self._redact.redact(call, request.customer_id))
        return {"ImportOrders": self._imports.import_orders, "RedactCustomer": redact, **unary}

    def _order_command(self, to_command: ToCommand) -> UseCase:
        return lambda call, request: self._execution.execute(call, to_command(request, call.derived_id))

    async def execute(self, use_case: UseCase, request: Any, call: Call) -> bytes:
        """Carries out the use case for the request, and returns the serialised response.

        If the call is a retry, the trailing metadata says so: `tandem-replayed: true`.
        """
        with_version = "expected_version" in request.DESCRIPTOR.fields_by_name and request.HasField("expected_version")
        command_call = CommandCall(
            principal=principal_of(call.context),
            request_id=UUID(request.request_id),
            fingerprint=fingerprint(request),
            reason=request.reason,
            traceparent=traceparent_of(call.context),
            expected_version=request.expected_version if with_version else None,
            deadline=deadline_of(call.context),
        )
        result = await use_case(command_call, request)
        if result.replayed:
            self._metrics.replayed()
            call.context.set_trailing_metadata(REPLAYED)
        return result.response
