"""Events → records of the journal and the caller's response. The same for every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from command_service.application.command_call import CommandCall
from command_service.application.errors import OrderTooLarge
from command_service.application.event_record import AGGREGATE_TYPE, EventRecord, Head
from command_service.application.ports import EncodedEvent, EventContext, FirstCall, Ids, Representation
from command_service.domain.decisions.order_size import order_too_large
from command_service.domain.events import Event, OrderCreated, OrderImported, OrderRevised, OrderShippingAddressChanged
from command_service.domain.evolve import evolve
from command_service.domain.hash_chain import GENESIS, Link, chain_hash, personal_digest
from command_service.domain.order import Order

#: The order after its events, what stands around them and the source epoch → the caller's response.
Respond = Callable[[Order, Sequence[tuple[UUID, Event]], EventContext, int], bytes]
#: Events of which callers choose how large they are. All others tell what happened, and that must be recordable.
CHOSEN = (OrderCreated, OrderImported, OrderRevised, OrderShippingAddressChanged)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a command made: the order after it, the records to append and the response's bytes."""

    order: Order
    records: tuple[EventRecord, ...]
    response: bytes


class Recorder:
    """Turns decided events into what is stored and answered."""

    def __init__(self, representation: Representation, ids: Ids, max_event_bytes: int) -> None:
        self._representation, self._ids, self._max_event_bytes = representation, ids, max_event_bytes

    def record(
        self,
        call: CommandCall,
        claimed: FirstCall,
        state: Order | None,
        head: Head | None,
        events: Sequence[Event],
        *,
        respond: Respond | None = None,
    ) -> Recorded:
        """Applies `events` to `state` and links them to `head` (both None for a new order).

        `respond` makes the response, by default that of an order command. Raises RuleViolated when what was chosen
        leaves too little room for what may happen later, and OrderTooLarge when a record could not be published.
        """
        context = EventContext(call.principal, call.request_id, call.reason)
        headers = self._representation.headers(call, claimed.source_epoch)
        previous = GENESIS if head is None else head.hash
        records: list[EventRecord] = []
        identified: list[tuple[UUID, Event]] = []
        for event in events:
            state = evolve(state, event)
            event_id = self._ids.event_id()
            encoded = self._representation.event(event_id, event, state, context)
            self._check_size(event, state, encoded, headers)
            record = self._link(previous, event_id, event, state, encoded, headers, claimed.now)
            records.append(record)
            identified.append((event_id, event))
            previous = record.hash
        assert state is not None, "a command makes at least one event"
        respond = respond or self._representation.response
        response = respond(state, identified, context, claimed.source_epoch)
        return Recorded(state, tuple(records), response)

    def _check_size(self, event: Event, order: Order, encoded: EncodedEvent, headers: str) -> None:
        size = sum(len(text.encode()) for text in (encoded.payload, encoded.personal, headers))
        if isinstance(event, CHOSEN):
            # No other event has an import's movements, so that one must list them all.
            imported = isinstance(event, OrderImported)
            needed = max(size, self._representation.room_needed(order, every_movement=imported))
            if needed > self._max_event_bytes:
                raise order_too_large(needed, self._max_event_bytes)
        elif size > self._max_event_bytes:
            raise OrderTooLarge(size, self._max_event_bytes)

    def _link(
        self,
        previous: bytes,
        event_id: UUID,
        event: Event,
        order: Order,
        encoded: EncodedEvent,
        headers: str,
        recorded_at: datetime,
    ) -> EventRecord:
        salt = self._ids.salt()
        digest = personal_digest(salt, encoded.personal)
        link = Link(
            event_id=event_id,
            aggregate_type=AGGREGATE_TYPE,
            aggregate_id=order.order_id,
            aggregate_version=order.version,
            event_type=event.event_type,
            occurred_at=event.occurred_at,
            recorded_at=recorded_at,
            headers=headers,
            payload=encoded.payload,
            personal_digest=digest,
        )
        return EventRecord(
            event_id=event_id,
            aggregate_id=order.order_id,
            aggregate_version=order.version,
            event_type=event.event_type,
            payload=encoded.payload,
            personal=encoded.personal,
            salt=salt,
            personal_digest=digest,
            headers=headers,
            hash=chain_hash(previous, link),
            occurred_at=event.occurred_at,
            recorded_at=recorded_at,
        )
