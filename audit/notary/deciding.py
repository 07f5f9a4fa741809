"""Decides for each message of the stream which leaves it adds to the log. Does no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from audit.leaves.hash_chain import GENESIS, RecordedEvent, has_its_personal_data, link
from audit.leaves.leaf import Leaf, epoch_leaf, event_leaf, refused_leaf
from audit.leaves.stream_message import StreamMessage, UnfitMessage, claimed_ids, recorded_events, source_epoch

Version = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is no event as it must be. `reason` is a part of a sentence, without content of the event."""

    sequence: int
    leaf: Leaf
    reason: str


@dataclass(slots=True)
class Decision:
    """What some messages add to the log.

    `leaves` are in stream order, each with the sequence of its message. `repeated` counts events that the log has
    already, `unchecked` those of which the event before is not in the log, so that their hash cannot be recomputed.
    """

    epoch: int
    leaves: list[tuple[int, Leaf]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    repeated: int = 0
    unchecked: int = 0

    def forget_refusals(self, known: Collection[bytes]) -> None:
        """Leaves out the refused messages of which the log has the leaf already, by its hash."""
        again = {id(refusal.leaf) for refusal in self.refusals if refusal.leaf.hash in known}
        self.leaves = [(sequence, leaf) for sequence, leaf in self.leaves if id(leaf) not in again]
        self.refusals = [refusal for refusal in self.refusals if id(refusal.leaf) not in again]


@dataclass(frozen=True, slots=True)
class Read:
    """A message, and the events that can be cut out of it; none, with a reason, if it cannot be read."""

    message: StreamMessage
    events: Sequence[RecordedEvent] = ()
    unfit: str = ""


def read(message: StreamMessage) -> Read:
    """Cuts the event out of a message."""
    if not message.is_event:
        return Read(message)
    try:
        return Read(message, tuple(recorded_events(message)))
    except UnfitMessage as unfit:
        return Read(message, unfit=str(unfit))


class Decider:
    """Knows what the log has of the events that some messages are about.

    `epoch` is the log's newest source epoch. `known` has the chain hashes by event id, `earlier` those of the versions
    before, newest first. The messages add to what is known.
    """

    def __init__(
        self,
        epoch: int,
        known: Mapping[UUID, bytes],
        earlier: Mapping[Version, Sequence[bytes]],
    ) -> None:
        self._epoch = epoch
        self._known = dict(known)
        self._earlier = {version: list(hashes) for version, hashes in earlier.items()}
        self._refused: set[bytes] = set()

    def decide(self, messages: Iterable[Read]) -> Decision:
        """Returns what the messages add, in their order."""
        decision = Decision(self._epoch)
        for one in messages:
            epoch = source_epoch(one.message)
            if epoch is not None and epoch > decision.epoch:
                decision.epoch = epoch
                decision.leaves.append((one.message.sequence, epoch_leaf(epoch)))
            if one.message.is_event:
                self._decide(one, decision)
        return decision

    def _decide(self, one: Read, decision: Decision) -> None:
        if not one.events:
            self._refuse(one.message, one.unfit, decision)
            return
        event, reason = self._right_cut(one.events, decision)
        if reason:
            self._refuse(one.message, reason, decision)
            return
        known = self._known.get(event.event_id)
        if known == event.hash:
            decision.repeated += 1
        elif known is not None:
            self._refuse(one.message, "the log has this event with another hash", decision)
        else:
            leaf = event_leaf(event.event_id, event.order_id, event.version, event.hash)
            decision.leaves.append((one.message.sequence, leaf))
            self._known[event.event_id] = event.hash
            self._earlier.setdefault((event.order_id, event.version), []).insert(0, event.hash)

    def _right_cut(self, cuts: Sequence[RecordedEvent], decision: Decision) -> tuple[RecordedEvent, str]:
        """Returns the event whose content gives its hash, or the last cut and why it does not."""
        reason = ""
        for event in cuts:
            before = [GENESIS] if event.version == 1 else self._earlier.get((event.order_id, event.version - 1), [])
            if not before:
                decision.unchecked += 1
                return event, ""
            if not any(link(previous, event) == event.hash for previous in before):
                reason = "its hash does not follow from its content and the event before"
            elif not has_its_personal_data(event):
                reason = "its personal data does not give its digest"
            else:
                return event, ""
        return cuts[-1], reason

    def _refuse(self, message: StreamMessage, reason: str, decision: Decision) -> None:
        leaf = refused_leaf(message.content, *claimed_ids(message))
        if leaf.hash not in self._refused:
            self._refused.add(leaf.hash)
            decision.leaves.append((message.sequence, leaf))
            decision.refusals.append(Refusal(message.sequence, leaf, reason))
