"""Creates, moves and deletes generations, and keeps the state of a rebuild in one document of the state index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.generations import Part, Phase, Rebuild, StoredRebuild, is_generation
from query_service.storage.physical.connection import DEPENDENCY, ElasticsearchConnection, describe
from query_service.storage.physical.generations import mappings
from query_service.storage.physical.generations.setup import PROJECTIONS, IndexSetup
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import as_of_id
from query_service.storage.physical.state_document import StateDocument

REBUILD = "rebuild"
#: Settings of an index that refuse writes. Elasticsearch sets DISK_FULL, and takes it back when there is room.
BLOCKS = "index.blocks."
DISK_FULL = f"{BLOCKS}read_only_allow_delete"
WRITE_BLOCKS = (DISK_FULL, f"{BLOCKS}read_only", f"{BLOCKS}write")


class IndexGenerations:
    """Implements Generations with indices and aliases."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames, setup: IndexSetup) -> None:
        self._connection, self._names = connection, names.of("")
        self._state = StateDocument(connection, self._names, REBUILD)
        self.serving, self.read_model, self.prepare_state = setup.serving, setup.read_model, setup.prepare_state

    async def rebuild(self) -> StoredRebuild:
        """See Generations."""
        found, guard = await self._state.read()
        return StoredRebuild(None if found is None else _rebuild(found), guard)

    async def save(self, rebuild: Rebuild, stored: StoredRebuild) -> bool:
        """See Generations."""
        return await self._state.replace(asdict(rebuild), stored.guard)

    async def blocked(self) -> str:
        """See Generations. With a full disk all indices are blocked, also that of the rebuild's state."""
        indices = ",".join([self._names.state, *(self._names.index(alias, "*") for alias in self._names.documents)])
        _, answer = await self._connection.request(
            "GET", f"/{indices}/_settings/{BLOCKS}*", params={"flat_settings": "true", "ignore_unavailable": "true"}
        )
        blocks = [
            (setting, index)
            for index, about in answer.items()
            if is_generation(self._names.generation_of(index))  # the pattern may match indices of others
            for setting in WRITE_BLOCKS
            if about["settings"].get(setting) == "true"
        ]
        if not blocks:
            return ""
        setting, index = min(blocks)
        full = " because its disk is full" if setting == DISK_FULL else ""
        return f"{DEPENDENCY} takes no writes to {index}{full} ({setting})"

    async def create(self, generation: str) -> None:
        """See Generations."""
        made_for = {"_meta": {PROJECTIONS: [mappings.projection()]}}
        for alias, mapping in zip(self._names.documents, (mappings.ORDERS, mappings.ENTRIES), strict=True):
            index = self._names.index(alias, generation)
            body: dict[str, Any] = {
                "mappings": {**mapping, **made_for},
                "settings": mappings.FILLING_SETTINGS,
                "aliases": {self._names.alias(alias, generation): {}},
            }
            status, answer = await self._connection.request("PUT", f"/{index}", body=body, accept=(400,))
            if status == 400:
                kind, reason = describe(answer["error"])
                if kind != "resource_already_exists_exception":
                    raise ReadStoreNotReady(f"the index {index} cannot be created: {reason}")

    async def settle(self, generation: str) -> None:
        """See Generations."""
        for alias in self._names.documents:
            await self._set(generation, alias, {"auto_expand_replicas": mappings.REPLICAS})
        await self.refresh(generation)

    async def refresh(self, generation: str) -> None:
        """See Generations."""
        for alias in self._names.documents:
            index = self._names.index(alias, generation)
            _, answer = await self._connection.request("POST", f"/{index}/_refresh")
            if answer["_shards"]["failed"]:
                raise DependencyDown(DEPENDENCY, f"a copy of {index} cannot be refreshed")

    async def serve(self, generation: str, instead_of: str) -> None:
        """See Generations."""
        orders, entries = self._names.documents
        await self._set(generation, orders, {"refresh_interval": mappings.REFRESH_INTERVAL})
        await self._set(generation, entries, {"refresh_interval": mappings.RARE_REFRESH_INTERVAL})
        actions: list[dict[str, Any]] = []
        for alias in self._names.documents:
            before = {"index": self._names.index(alias, instead_of), "alias": alias, "must_exist": True}
            actions.append({"remove": before})
            actions.append({"add": {"index": self._names.index(alias, generation), "alias": alias}})
        if (missing := await self._changed(actions)) is not None:
            raise ReadStoreNotReady(f"{generation} cannot answer readers instead of {instead_of}: {missing}")
        # The other generation goes on refreshing itself. To stop it could meet a rollback or a `finish` beside this
        # call, and leave readers an index that does not refresh itself.

    async def delete(self, generation: str, kept: str) -> None:
        """See Generations. A request of its own for the aliases would leave readers without an index in between."""
        while actions := await self._deletions(generation, kept):
            missing = await self._changed(actions)
            if missing is not None and await self._deletions(generation, kept) == actions:
                raise ReadStoreNotReady(f"{generation} cannot be deleted, because {kept} is not complete: {missing}")
        path = f"/{self._names.state}/_doc/{as_of_id(generation)}"
        await self._connection.request("DELETE", path, accept=(404,))

    async def _set(self, generation: str, alias: str, settings: dict[str, str]) -> None:
        """Changes settings of the index that a readers' alias has in a generation, if it exists."""
        path = f"/{self._names.index(alias, generation)}/_settings"
        await self._connection.request("PUT", path, body={"index": settings}, accept=(404,))

    async def _deletions(self, generation: str, kept: str) -> list[dict[str, Any]]:
        """Returns what deletes those indices of a generation that exist."""
        actions: list[dict[str, Any]] = []
        for alias in self._names.documents:
            index = self._names.index(alias, generation)
            status, _ = await self._connection.request("GET", f"/{index}/_alias", accept=(404,))
            if status != 404:
                actions.append({"add": {"index": self._names.index(alias, kept), "alias": alias}})
                actions.append({"remove_index": {"index": index}})
        return actions

    async def _changed(self, actions: list[dict[str, Any]]) -> str | None:
        """Changes aliases and indices in one step. Returns what is missing if one of them does not exist."""
        status, answer = await self._connection.request("POST", "/_aliases", body={"actions": actions}, accept=(404,))
        return describe(answer["error"])[1] if status == 404 else None


def _rebuild(fields: dict[str, Any]) -> Rebuild:
    return Rebuild(
        **{**fields, "phase": Phase(fields["phase"]), "parts": tuple(Part(**part) for part in fields["parts"])}
    )
