"""Serves `OrderCommandService`: request → rules → command → the response's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.application.change_order import ChangeOrderUseCase
from command_service.application.command_call import CommandCall, CommandResult
from command_service.application.place_order import PlaceOrderUseCase
from command_service.handlers.caller import deadline_of, principal_of, traceparent_of
from command_service.handlers.order_imports import OrderImports
from command_service.metrics import CommandMetrics
from command_service.wire import commands
from service_runtime.edge.service_methods import Behaviour, Call, Context

SERVICE = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
#: The commands that change an order.
CHANGES = (
    *("ReviseOrder", "ChangeShippingAddress", "RecordPayment", "ShipOrder", "RecordDelivery", "CancelOrder"),
    *("ReturnItems", "RefundOrder", "HoldOrder", "ReleaseOrder"),
)
REPLAYED = (("tandem-replayed", "true"),)


class OrderCommands:
    """The commands that are served."""

    def __init__(
        self,
        place_order: PlaceOrderUseCase,
        change_order: ChangeOrderUseCase,
        imports: OrderImports,
        metrics: CommandMetrics,
    ) -> None:
        self._place_order, self._change_order = place_order, change_order
        self._imports, self._metrics = imports, metrics

    def behaviours(self) -> Mapping[str, Behaviour]:
        """Returns the behaviour of each served command by method name."""
        return {
            "PlaceOrder": self.place_order,
            "ImportOrders": self._imports.import_orders,
            **dict.fromkeys(CHANGES, self.change_order),
        }

    async def place_order(self, request: contract.PlaceOrderRequest, call: Call) -> bytes:
        """Serves PlaceOrder."""
        command = _command_call(request, call.context)
        result = await self._place_order.handle(command, commands.place_order(request, command.derived_id))
        return self._answer(result, call)

    async def change_order(self, request: Any, call: Call) -> bytes:
        """Serves every command that changes an order."""
        command = _command_call(request, call.context)
        result = await self._change_order.handle(command, commands.order_change(request, command.derived_id))
        return self._answer(result, call)

    def _answer(self, result: CommandResult, call: Call) -> bytes:
        if result.replayed:
            self._metrics.replayed()
            call.context.set_trailing_metadata(REPLAYED)
        return result.response


def _command_call(request: Any, context: Context) -> CommandCall:
    return CommandCall(
        principal=principal_of(context),
        request_id=UUID(request.request_id),
        fingerprint=commands.fingerprint(request),
        reason=request.reason,
        traceparent=traceparent_of(context),
        expected_version=request.expected_version if request.HasField("expected_version") else None,
        deadline=deadline_of(context),
    )
