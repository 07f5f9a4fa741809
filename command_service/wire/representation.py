"""How orders and events look to callers and consumers: the application's port over the contract's messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2

from command_service.application.command_call import CommandCall
from command_service.application.ports import EncodedEvent, EventContext
from command_service.domain.events import Event, OrderShippingAddressChanged
from command_service.domain.order import Order
from command_service.wire.event_messages import event_message
from command_service.wire.event_room import Omitted, old_values_of, omitted_from, room_needed
from command_service.wire.json_text import json_text
from command_service.wire.order_messages import order_message
from command_service.wire.personal_data import split
from command_service.wire.values import address_message

SCHEMA_VERSION = "1"


class ContractRepresentation:
    """The contract `tandem.orders.v1`, its events at most `max_event_bytes` large."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        #: The order whose message was made last: an event and its answer tell of the same one.
        self._latest: tuple[Order, order_types_pb2.Order] | None = None

    def _order(self, order: Order, event: Event) -> order_types_pb2.Order:
        """The order's message after its event, only to be copied from."""
        if self._latest is None or self._latest[0] is not order:
            self._latest = order, order_message(order, self._omitted(order, event))
        return self._latest[1]

    def _omitted(self, order: Order, event: Event) -> Omitted:
        limit = self._max_event_bytes - old_values_of(event)
        omitted = omitted_from(order, limit)
        if omitted == Omitted():
            return omitted
        # Few orders come here; for these it is worth to measure what the others only estimate.
        bare = json_text(order_message(order, Omitted.all_of(order)))
        return omitted_from(order, limit, len(bare.encode()))

    def room_needed(self, order: Order, *, every_movement: bool) -> int:
        """Bytes of JSON; see `event_room`."""
        return room_needed(order, every_movement=every_movement)

    def event(self, event_id: UUID, event: Event, order: Order, context: EventContext) -> EncodedEvent:
        """The payload with the order after the event, and its personal half."""
        impersonal, personal = split(self._order(order, event))
        if isinstance(event, OrderShippingAddressChanged):
            personal.previous_shipping_address.CopyFrom(address_message(event.previous_shipping_address))
        message = event_message(
            event_id,
            event,
            order_id=order.order_id,
            version=order.version,
            currency=order.currency,
            order=impersonal,
            actor=context.actor,
            request_id=context.request_id,
            reason=context.reason,
        )
        return EncodedEvent(payload=json_text(message), personal=json_text(personal))

    def headers(self, call: CommandCall, source_epoch: int) -> str:
        """All values are texts; `traceparent` only when the caller sent one."""
        headers = {
            "traceparent": call.traceparent,
            "actor": call.principal,
            "request_id": str(call.request_id),
            "schema_version": SCHEMA_VERSION,
            "source_epoch": str(source_epoch),
        }
        present = {name: value for name, value in headers.items() if value}
        return json.dumps(present, separators=(",", ":"), ensure_ascii=False)

    def response(self, order: Order, events: Sequence[tuple[UUID, Event]], context: EventContext, epoch: int) -> bytes:
        """The response of every order command: they all have the same fields under the same numbers.

        Its events leave `order` out: the order after the last one stands beside them.
        """
        first = order.version - len(events) + 1
        message = contract.PlaceOrderResponse(
            order=self._order(order, events[-1][1]),
            version=order.version,
            events=[
                event_message(
                    event_id,
                    event,
                    order_id=order.order_id,
                    version=version,
                    currency=order.currency,
                    order=None,
                    actor=context.actor,
                    request_id=context.request_id,
                    reason=context.reason,
                )
                for version, (event_id, event) in enumerate(events, start=first)
            ],
            consistency_token=_token(order, epoch),
        )
        return message.SerializeToString(deterministic=True)

    def import_result(
        self, order: Order, events: Sequence[tuple[UUID, Event]], context: EventContext, epoch: int
    ) -> bytes:
        """The result of one imported order: short, as there may be many."""
        message = contract.ImportOrdersResponse(
            request_id=str(context.request_id),
            order_id=str(order.order_id),
            version=order.version,
            consistency_token=_token(order, epoch),
        )
        return message.SerializeToString(deterministic=True)


def _token(order: Order, epoch: int) -> str:
    return encode(ConsistencyToken(epoch, {str(order.order_id): order.version}))
