"""Remembers what a poll must skip because the log has delivered it already."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.events.event import OutboxEvent
from relay.events.id_set import IdSet
from relay.events.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Delivered:
    """Events in the stream that no snapshot of the cursor sees.

    They are those of whole `transactions`, and those at `positions`. `ids`: all transactions with such events.
    """

    transactions: frozenset[str] = frozenset()
    positions: IdSet = field(default_factory=IdSet)
    ids: IdSet = field(default_factory=IdSet)

    def holds(self, event: OutboxEvent) -> bool:
        """Whether the stream has this event."""
        return event.transaction_id in self.transactions or event.position in self.positions

    def seen_by(self, snapshot: Snapshot) -> bool:
        """Whether no poll after `snapshot` can find any of them."""
        return not self.ids.not_seen_by(snapshot)


NOTHING = Delivered()
