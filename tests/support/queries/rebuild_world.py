"""Generations in memory, for tests of what an operator's actions do when they overlap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import Comparison, ReadModelComparison
from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.generations import Part, Phase, Rebuild, StoredRebuild
from query_service.application.ports.read_store import Freshness
from query_service.application.rebuilding.machine import Tail
from query_service.application.rebuilding.rebuilds import Rebuilds
from query_service.storage.memory import MemoryStore
from tests.support.queries.memory_source import MemorySource

Hook = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """Does nothing."""


class WorldStore(MemoryStore):
    """A generation that can be as fresh as a test wants."""

    def covers(self, time: int) -> None:
        """Claims that everything before `time` is applied."""
        self._freshness = Freshness(time, 1, self._identity.generation, 1, time)


class RebuildWorld:
    """The generations g1 and g2, the state of a rebuild of g1 into g2, and the actions on it.

    Implements Generations and StreamTails. `block` says why the store takes no writes. The store runs `before_delete`
    and `before_serve` before it deletes or serves a generation, and `on_refresh` when it makes one searchable.
    """

    def __init__(self, phase: Phase = Phase.VERIFIED, *, serving: str = "g1") -> None:
        self.stored: Rebuild | None = Rebuild("first", "g1", "g2", phase, 1, parts=(Part(),))
        self.readers = serving
        self.stores = {"g1": WorldStore("g1"), "g2": WorldStore("g2")}
        self.consumers = {"g1", "g2"}
        self.source = MemorySource()
        self.block = ""
        self.before_delete: Hook = nothing
        self.before_serve: Hook = nothing
        self.on_refresh: Hook = nothing
        world: Any = self
        self.actions = Rebuilds(world, world, lambda generation: self.stores[generation], lambda: 5)
        for store in self.stores.values():
            store.covers(self.source.time)

    async def compare(self, store: Any) -> Comparison:
        """Compares a generation with the source."""
        return await ReadModelComparison(store, self.source, partition_of, lambda: 0.0, patience=0)(1_000)

    async def rebuild(self) -> StoredRebuild:
        """See Generations, also for the methods that follow."""
        return StoredRebuild(self.stored, self.stored)

    async def save(self, rebuild: Rebuild, stored: StoredRebuild) -> bool:
        if stored.guard is not self.stored:
            return False
        self.stored = rebuild
        return True

    async def serving(self) -> str:
        return self.readers

    async def read_model(self) -> str:
        return "model"

    async def blocked(self) -> str:
        return self.block

    async def prepare_state(self) -> None: ...

    async def settle(self, generation: str) -> None: ...

    async def refresh(self, generation: str) -> None:
        await self.on_refresh()

    async def serve(self, generation: str, instead_of: str) -> None:
        await self.before_serve()
        if generation not in self.stores or self.readers != instead_of:
            raise ReadStoreNotReady(f"{generation} cannot answer readers instead of {instead_of}")
        self.readers = generation

    async def delete(self, generation: str, kept: str = "") -> None:
        """See Generations, and StreamTails, which does not say what is kept."""
        if not kept:
            self.consumers.discard(generation)
            return
        await self.before_delete()
        if self.readers == generation:
            self.readers = kept
        self.stores.pop(generation, None)

    async def end(self) -> Tail:
        """See StreamTails."""
        return Tail(1, 1)

    async def create(self, generation: str, *consumer: Any) -> None:
        """Creates a generation, or its consumer when a tail is given."""
        if consumer:
            self.consumers.add(generation)
        else:
            self.stores.setdefault(generation, WorldStore(generation))
