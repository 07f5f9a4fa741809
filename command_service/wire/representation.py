"""Implements the application's port `Representation` with the contract's messages."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from google.protobuf.message import Message
from tandem.orders.consistency_token import ConsistencyToken, encode, merge
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_events_pb2, order_types_pb2

from command_service.application.command_call import CommandCall
from command_service.application.ports import Description, ErasureProgress
from command_service.domain.decision import Decision
from command_service.domain.events import Event, OrderImported
from command_service.domain.order import Order
from command_service.wire.event_json import headers_json, payload_json, personal_json
from command_service.wire.event_messages import event_message
from command_service.wire.event_room import NOTHING, Omitted, check_room, old_values_of, omitted_from
from command_service.wire.json_text import json_text
from command_service.wire.order_json import order_json
from command_service.wire.order_messages import order_message


class ContractRepresentation:
    """Represents orders and events in the contract `tandem.orders.v1`. An event has at most `max_event_bytes` bytes."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes

    def describe(self, call: CommandCall, event_id: UUID, decision: Decision[Event], source_epoch: int) -> Description:
        """Returns the event as it is stored, and the response. The order's text and its message are each made once.

        Raises RuleViolated and OrderTooLarge as the port says.
        """
        event, order = decision.event, decision.order
        omitted = self._omitted(order, event) if order.moved else NOTHING
        message = event_message(event_id, decision, call)
        described = Description(
            payload=payload_json(decision, message, order_json(order, omitted)),
            personal=personal_json(order, event),
            headers=headers_json(call, source_epoch),
            response=_response(call, decision, order_message(order, omitted), message, source_epoch),
        )
        check_room(decision, described.size, self._max_event_bytes)
        return described

    def describe_unchanged(self, order: Order, source_epoch: int) -> bytes:
        """Returns the response of the other commands, with the order as it is and without an event."""
        whole = order_message(order, self._omitted(order, None) if order.moved else NOTHING)
        message = contract.PlaceOrderResponse(
            order=whole, version=whole.version, consistency_token=_token(whole, source_epoch)
        )
        return message.SerializeToString(deterministic=True)

    def describe_erasure(self, progress: ErasureProgress, redactions: Sequence[bytes], source_epoch: int) -> bytes:
        """Returns the response to RedactCustomer, with a token for the orders that the call redacted."""
        tokens = (contract.PlaceOrderResponse.FromString(one).consistency_token for one in redactions)
        message = contract.RedactCustomerResponse(
            redacted_orders=progress.redacted,
            remaining_orders=progress.remaining,
            consistency_token=merge(encode(ConsistencyToken(source_epoch)), *tokens),
        )
        return message.SerializeToString(deterministic=True)

    def _omitted(self, order: Order, event: Event | None) -> Omitted:
        limit = self._max_event_bytes - (old_values_of(event) if event is not None else 0)
        omitted = omitted_from(order, limit)
        if omitted == NOTHING:
            return omitted
        # Few orders omit movements. For these the exact size is worth its cost; the others fit by the estimate.
        bare = json_text(order_message(order, Omitted.all_of(order)))
        return omitted_from(order, limit, len(bare.encode()))


def _response(
    call: CommandCall,
    decision: Decision[Event],
    order: order_types_pb2.Order,
    event: order_events_pb2.OrderEvent,
    source_epoch: int,
) -> bytes:
    """Returns the serialised response. An import gets a short one, because a stream may have many.

    The responses of all other commands have the same fields under the same numbers, so PlaceOrderResponse stands for
    all. `event` has no order in it, because the response already has the order.
    """
    token = _token(order, source_epoch)
    message: Message
    if isinstance(decision.event, OrderImported):
        message = contract.ImportOrdersResponse(
            request_id=str(call.request_id), order_id=order.order_id, version=order.version, consistency_token=token
        )
    else:
        message = contract.PlaceOrderResponse(
            order=order, version=order.version, events=[event], consistency_token=token
        )
    return message.SerializeToString(deterministic=True)


def _token(order: order_types_pb2.Order, source_epoch: int) -> str:
    return encode(ConsistencyToken(source_epoch, {order.order_id: order.version}))
