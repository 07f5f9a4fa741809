"""Remembers the events that a poll must skip, because they were read from the log and delivered before."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.events.event import OutboxEvent
from relay.events.id_set import IdSet
from relay.events.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Delivered:
    """Events that the stream has although no snapshot of the cursor sees them. A poll skips them.

    They are all events of `transactions`, and the events at `positions`. `ids` are the ids of all transactions that
    have such events.
    """

    transactions: frozenset[str] = frozenset()
    positions: IdSet = field(default_factory=IdSet)
    ids: IdSet = field(default_factory=IdSet)

    def holds(self, event: OutboxEvent) -> bool:
        """Returns whether `event` is one of them."""
        return event.transaction_id in self.transactions or event.position in self.positions

    def seen_by(self, snapshot: Snapshot) -> bool:
        """Returns whether `snapshot` sees all their transactions, so that no poll after it can find one of them."""
        return not self.ids.not_seen_by(snapshot)


NOTHING = Delivered()
