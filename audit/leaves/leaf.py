"""Says what the log holds: events, the beginnings of source epochs, and messages that were refused.

The bytes of a leaf are lines of text. The first line names the kind and the version of the format, so that no leaf of
one kind can be read as one of another kind.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from audit.tree.hashing import leaf_hash


class LeafKind(StrEnum):
    """What a leaf is about."""

    EVENT = "event"
    EPOCH = "epoch"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf.

    EVENT: `event_id`, `order_id`, `version` and `chain_hash`, the event's link in its order's hash chain. EPOCH: the
    messages after this leaf are of the source epoch `epoch`. REFUSED: a message that is no event as it must be;
    `chain_hash` is the SHA-256 of its headers and body, the ids are what it claims, None where they cannot be read.
    """

    kind: LeafKind
    event_id: UUID | None = None
    order_id: UUID | None = None
    version: int | None = None
    chain_hash: bytes | None = None
    epoch: int | None = None

    @property
    def data(self) -> bytes:
        """The bytes of the leaf."""
        match self.kind:
            case LeafKind.EPOCH:
                lines = [str(self.epoch)]
            case _:
                assert self.chain_hash is not None
                lines = [_text(self.event_id), _text(self.order_id), _text(self.version), self.chain_hash.hex()]
        return "".join(f"{line}\n" for line in [f"tandem-audit/v1 {self.kind}", *lines]).encode()

    @property
    def hash(self) -> bytes:
        """The hash of the leaf in the tree."""
        return leaf_hash(self.data)

    @property
    def name(self) -> str:
        """What the leaf is about, for people."""
        if self.kind is LeafKind.EPOCH:
            return f"the beginning of source epoch {self.epoch}"
        what = f"order {_text(self.order_id)} version {_text(self.version)} (event {_text(self.event_id)})"
        return what if self.kind is LeafKind.EVENT else f"a refused message of {what}"


def event_leaf(event_id: UUID, order_id: UUID, version: int, chain_hash: bytes) -> Leaf:
    """Returns the leaf of an event."""
    return Leaf(LeafKind.EVENT, event_id, order_id, version, chain_hash)


def epoch_leaf(epoch: int) -> Leaf:
    """Returns the leaf of a new source epoch."""
    return Leaf(LeafKind.EPOCH, epoch=epoch)


def refused_leaf(
    content: bytes, event_id: UUID | None = None, order_id: UUID | None = None, version: int | None = None
) -> Leaf:
    """Returns the leaf of a message that was refused. `content` is its headers and body."""
    return Leaf(LeafKind.REFUSED, event_id, order_id, version, hashlib.sha256(content).digest())


def _text(value: object) -> str:
    return "-" if value is None else str(value)
