"""Declares what a rebuild needs of a read store: its generations, and the state of the rebuild.

A generation is a full set of documents. A rebuild fills a new generation while the old one answers readers, and then
lets the new one answer. The state is one document, changed by compare-and-set, so that several processes can take part
and each may be killed at any point. What the state document need not say, it does not say: which generation answers
readers is known from the readers' aliases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

FIRST_GENERATION = "g1"
_NAME = re.compile(r"g\d+")


def is_generation(name: str) -> bool:
    """Returns whether this is the name of a generation. An index may have another name at the end of its own."""
    return _NAME.fullmatch(name) is not None


class Phase(StrEnum):
    """How far a rebuild is. SWITCHED and ROLLED_BACK are derived, see `rebuilding.machine`."""

    #: The rebuild is decided. Indices and consumer of the new generation may be missing.
    PREPARED = "PREPARED"
    #: Workers copy the orders from the write side's exports.
    FILLING = "FILLING"
    #: All orders are copied. Projectors bring the events that arrived since the start.
    CATCHING_UP = "CATCHING_UP"
    #: The new generation was compared with the write side and is equal.
    VERIFIED = "VERIFIED"
    #: The new generation answers readers, and the old one is still fed.
    SWITCHED = "SWITCHED"
    #: The old generation answers readers again.
    ROLLED_BACK = "ROLLED_BACK"
    #: The new generation is the only one.
    FINISHED = "FINISHED"
    #: The old generation is the only one.
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Part:
    """A range of order ids that one worker fills: the ids up to `until` (inclusive), "" for all that are left.

    The orders up to `done_until` are filled; at first it is the end of the range before. `lease_until` is in
    microseconds since 1970: until then the range belongs to `worker`.
    """

    until: str = ""
    done_until: str = ""
    done: bool = False
    orders: int = 0
    events: int = 0
    parked: int = 0
    worker: str = ""
    lease_until: int = 0


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of generation `old` into generation `new`. Times are microseconds since 1970; 0: not yet.

    The consumer of the new generation begins after the sequence `tail_sequence` of the stream that was created at
    `stream_created_at`. `orders` is the number of orders that the write side had when the filling began. `problem` says
    why the filling or the verification does not go on; "" when it does.
    """

    rebuild_id: str
    old: str
    new: str
    phase: Phase
    started_at: int
    tail_sequence: int = 0
    stream_created_at: int = 0
    orders: int = 0
    parts: Sequence[Part] = ()
    filling_since: int = 0
    filled_at: int = 0
    verified_at: int = 0
    switched_at: int = 0
    ended_at: int = 0
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether the rebuild is over, so that another one may start."""
        return self.phase in (Phase.FINISHED, Phase.CANCELLED)

    @property
    def filled_orders(self) -> int:
        """The number of orders that are filled."""
        return sum(part.orders for part in self.parts)

    @property
    def filled_events(self) -> int:
        """The number of events of these orders."""
        return sum(part.events for part in self.parts)

    @property
    def parked_events(self) -> int:
        """The number of these events that the new generation cannot store."""
        return sum(part.parked for part in self.parts)


@dataclass(frozen=True, slots=True)
class StoredRebuild:
    """The last rebuild as it is stored, and what `save` needs to detect a change in between."""

    rebuild: Rebuild | None = None
    guard: Any = field(default=None, compare=False)


class Generations(Protocol):
    """Creates, moves and deletes the generations of a store, and keeps the state of the rebuild.

    Every method raises DependencyDown and ReadStoreNotReady.
    """

    async def prepare_state(self) -> None:
        """Makes the store ready to keep the state of a rebuild."""

    async def rebuild(self) -> StoredRebuild:
        """Returns the last rebuild."""

    async def save(self, rebuild: Rebuild, stored: StoredRebuild) -> bool:
        """Replaces `stored` by `rebuild`, and returns whether it did; not if another process changed it meanwhile."""

    async def blocked(self) -> str:
        """Returns which index takes no writes now, and why, in words; "" when none is blocked."""

    async def read_model(self) -> str:
        """Returns the id of the read model, which all its generations share."""

    async def serving(self) -> str:
        """Returns the generation that answers readers."""

    async def create(self, generation: str) -> None:
        """Creates an empty generation, set up to be filled quickly; safe to repeat."""

    async def settle(self, generation: str) -> None:
        """Gives a filled generation its replicas, and makes it searchable; safe to repeat."""

    async def refresh(self, generation: str) -> None:
        """Makes everything that a generation has searchable: its orders and their journals."""

    async def serve(self, generation: str, instead_of: str) -> None:
        """Lets a generation answer readers from now on, instead of another one. All of it is moved in one step.

        Raises ReadStoreNotReady, and moves nothing, when either is gone, or when readers are sent elsewhere.
        """

    async def delete(self, generation: str, kept: str) -> None:
        """Deletes a generation and how fresh it was; safe to repeat.

        If readers were sent to it meanwhile, `kept` answers them from the same moment.
        """
