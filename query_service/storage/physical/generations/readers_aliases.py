"""Finds readers' aliases that send readers to an index without the documents, and moves them back."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.application.ports.checked_store import SwappedIndex
from query_service.application.ports.generations import Generations, Phase, Rebuild, is_generation
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.generations import mappings
from query_service.storage.physical.names import IndexNames


@dataclass(frozen=True, slots=True)
class Alias:
    """A readers' alias. `generation` is the one it has; "" when its index is none. `sizes` counts each's documents."""

    name: str
    found: str
    generation: str
    sizes: dict[str, int]

    def filled(self) -> list[str]:
        """Returns the other generations that have documents."""
        return [name for name, size in sorted(self.sizes.items()) if size and name != self.generation]

    def is_wrong(self, rebuild: Rebuild | None) -> bool:
        """Whether its index is no generation, or one that must not answer readers while another one has documents.

        During a rebuild the old generation may always answer, and the new one from its verification on. Otherwise any
        generation may that has documents.
        """
        if not self.found or not self.filled():
            return False
        if rebuild is None or rebuild.ended or self.generation not in (rebuild.old, rebuild.new):
            return not self.sizes.get(self.generation)
        return self.generation == rebuild.new and rebuild.phase is not Phase.VERIFIED


def right_generation(alias: Alias, others: list[Alias], rebuild: Rebuild | None) -> str:
    """Returns the generation that a wrong alias must have; "" when that is not known.

    It is the one of the other alias, which a rebuild moves together with it. If that is wrong too, it is the only
    generation with documents, or the one that a rebuild left or began with.
    """
    candidates = [other.generation for other in others if not other.is_wrong(rebuild)]
    if rebuild is not None:
        candidates.append(rebuild.new if rebuild.phase is Phase.FINISHED else rebuild.old)
    filled = alias.filled()
    if len(filled) == 1:
        candidates.append(filled[0])
    return next((name for name in candidates if name in filled), "")


class ReadersAliases:
    """Implements CheckedStore's methods on readers' aliases."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames, generations: Generations) -> None:
        self._connection, self._names, self._generations = connection, names, generations

    async def swapped_indices(self) -> list[SwappedIndex]:
        """See CheckedStore. The store of one generation does not use the readers' aliases, so nothing is wrong."""
        if self._names.generation:
            return []
        rebuild = (await self._generations.rebuild()).rebuild
        aliases = [await self._alias(name) for name in self._names.documents]
        swapped: list[SwappedIndex] = []
        for alias in aliases:
            if alias.is_wrong(rebuild):
                right = right_generation(alias, [other for other in aliases if other is not alias], rebuild)
                index = self._names.index(alias.name, right) if right else ""
                swapped.append(SwappedIndex(alias.name, alias.found, index))
        return swapped

    async def swap_back(self, swapped: SwappedIndex) -> None:
        """See CheckedStore."""
        actions = [
            {"remove": {"index": swapped.found, "alias": swapped.alias}},
            {"add": {"index": swapped.right, "alias": swapped.alias}},
        ]
        await self._connection.request("POST", "/_aliases", body={"actions": actions})
        # It may be of a generation that readers had not seen yet, and which did not refresh itself.
        searched = swapped.alias == self._names.orders
        interval = mappings.REFRESH_INTERVAL if searched else mappings.RARE_REFRESH_INTERVAL
        settings = {"index": {"refresh_interval": interval}}
        await self._connection.request("PUT", f"/{swapped.right}/_settings", body=settings)

    async def _alias(self, name: str) -> Alias:
        _, answer = await self._connection.request("GET", f"/{name}-*,{name}/_alias")
        [found] = [index for index, about in answer.items() if name in about["aliases"]] or [""]
        generations = {
            index: generation for index in answer if is_generation(generation := index.removeprefix(f"{name}-"))
        }
        sizes = {generation: await self._size(index) for index, generation in generations.items()}
        return Alias(name, found, generations.get(found, ""), sizes)

    async def _size(self, index: str) -> int:
        await self._connection.request("POST", f"/{index}/_refresh")
        _, answer = await self._connection.request("GET", f"/{index}/_count")
        return int(answer["count"])
