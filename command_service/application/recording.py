"""Turns a decision into the order, event and response to store, in the same way for every command."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from command_service.application.command_call import CommandCall
from command_service.application.event_record import AGGREGATE_TYPE, EventRecord
from command_service.application.ports import FirstCall, Recorded, Representation, StoredOrder, Unchanged
from command_service.domain.decision import Decision, changes_nothing
from command_service.domain.events import Event, OrderRedacted
from command_service.domain.hash_chain import GENESIS, Link, chain_hash, personal_digest

#: Returns a new event's id, a UUID of version 7, and its salt of 16 unpredictable bytes.
DrawIdentity = Callable[[], tuple[UUID, bytes]]


class Recorder:
    """Builds the stored event of a decision and adds it to the hash chain of its order."""

    def __init__(self, representation: Representation, draw_identity: DrawIdentity) -> None:
        self._representation, self._draw_identity = representation, draw_identity

    def record(
        self, call: CommandCall, claimed: FirstCall, stored: StoredOrder | None, decision: Decision[Event]
    ) -> Recorded | Unchanged:
        """Returns what to write for `decision`. `stored` is the order before it; None: the order is new.

        A decision that leaves the order as it was gets neither an event nor a version. Raises as `describe`.
        """
        if stored is not None and changes_nothing(stored.order, decision):
            unchanged = self._representation.describe_unchanged(stored.order, claimed.source_epoch)
            return Unchanged(unchanged, stored.order.order_id)
        event_id, salt = self._draw_identity()
        described = self._representation.describe(call, event_id, decision, claimed.source_epoch)
        link = Link(
            event_id=event_id,
            aggregate_type=AGGREGATE_TYPE,
            aggregate_id=decision.order.order_id,
            aggregate_version=decision.order.version,
            event_type=decision.event.event_type,
            occurred_at=decision.event.occurred_at,
            recorded_at=claimed.now if stored is None else stored.now,
            headers=described.headers,
            payload=described.payload,
            personal_digest=personal_digest(salt, described.personal),
        )
        digest = chain_hash(GENESIS if stored is None else stored.head_hash, link)
        record = EventRecord(link, described.personal, salt, digest)
        replacement = None
        if isinstance(decision.event, OrderRedacted):
            replacement = self._representation.describe_unchanged(decision.order, claimed.source_epoch)
        before = None if stored is None else stored.order
        return Recorded(before, decision.order, record, described.response, replacement)
