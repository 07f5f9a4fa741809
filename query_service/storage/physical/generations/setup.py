"""Creates the indices and their aliases, and checks that they have the mappings of this release.

Only `migrate` and a rebuild create them, and a projector stops if an alias is missing. Otherwise Elasticsearch would
create a lost index with the next document. It would guess the mapping, and the loss of all earlier documents would go
unnoticed.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.generations import FIRST_GENERATION
from query_service.application.ports.read_store import StoreIdentity
from query_service.storage.physical.connection import ElasticsearchConnection, describe, not_ready
from query_service.storage.physical.generations import mappings
from query_service.storage.physical.names import IndexNames
from query_service.storage.physical.reader import as_of_id

IDENTITY = "identity"
LEAST_VERSION = (9, 0)
#: The key in an index's `_meta` for the releases whose documents the generation has, each by its projection's print.
PROJECTIONS = "projections"
#: Stands for the release that made an index, if it did not note its print.
UNKNOWN_PROJECTION = "unknown"


class IndexSetup:
    """Sets up and checks the indices of one installation. With a generation in `names`, it checks that generation."""

    def __init__(self, connection: ElasticsearchConnection, names: IndexNames) -> None:
        self._connection, self._names = connection, names
        self._mappings = {
            names.orders: mappings.ORDERS,
            names.entries: mappings.ENTRIES,
            names.parked: mappings.PARKED,
            names.state: mappings.STATE,
        }

    async def prepare(self) -> StoreIdentity:
        """Creates missing indices and aliases, and adds new fields to existing ones; safe to repeat.

        Raises ReadStoreNotReady when the server is too old, or an index or alias is not what it must be.
        """
        await self._check_version()
        documents_lost = False
        generation = await self._serving() or FIRST_GENERATION
        for alias, mapping in self._mappings.items():
            if await self._index_of(alias) is not None:
                await self._add_fields(alias, mapping)
            else:
                own = generation if alias in self._names.documents else FIRST_GENERATION
                await self._create(alias, mapping, own)
                documents_lost |= alias in self._names.documents
        await self._name_generation(generation)
        if documents_lost:  # the time that they had reached would hide that the stream may no longer have them
            path = f"/{self._names.state}/_doc/{as_of_id(generation)}"
            await self._connection.request("DELETE", path, accept=(404,))
        await self._stamp(anew=documents_lost)
        return await self.check()

    async def renew_settings(self) -> list[str]:
        """See ReadStore. Only the interval of refreshes has changed since the first release."""
        renewed: list[str] = []
        for alias in self._mappings:
            index, wanted = await self._index_of(alias), self._refresh_interval(alias)
            path, setting = f"/{index}/_settings", "index.refresh_interval"
            _, answer = await self._connection.request("GET", f"{path}/{setting}", params={"flat_settings": "true"})
            found = answer.get(index, {}).get("settings", {}).get(setting)
            if found != wanted and found in mappings.EARLIER_INTERVALS:
                await self._connection.request("PUT", path, body={setting: wanted})
                renewed.append(f"{index} has {setting} {wanted} now, before {found or 'none'}")
        return renewed

    def _refresh_interval(self, alias: str) -> str:
        return mappings.REFRESH_INTERVAL if alias == self._names.orders else mappings.RARE_REFRESH_INTERVAL

    async def prepare_state(self) -> None:
        """Prepares what no generation owns: state and parked events. Raises ReadStoreNotReady as `prepare`."""
        await self._check_version()
        for alias in (self._names.parked, self._names.state):
            if await self._index_of(alias) is None:
                raise not_ready(f"the alias {alias} does not exist")
            await self._add_fields(alias, self._mappings[alias])

    async def check(self) -> StoreIdentity:
        """Checks that every alias has one index with all fields of this release, and returns the identity.

        Raises ReadStoreNotReady when one does not, and when the generation holds the documents of other releases only.
        """
        for alias, mapping in self._mappings.items():
            index = await self._index_of(alias)
            if index is None:
                raise not_ready(f"the alias {alias} does not exist")
            _, answer = await self._connection.request("GET", f"/{alias}/_mapping")
            found = answer[index]["mappings"]
            missing = _missing(mapping["properties"], found.get("properties", {}))
            if missing:
                raise not_ready(f"the mapping of {alias} does not know the field {missing}")
            projections = found.get("_meta", {}).get(PROJECTIONS)
            if projections is not None and mappings.projection() not in projections:
                raise not_ready(f"{index} was made for another release")
        return StoreIdentity(await self.read_model(), await self.generation())

    async def has_own_content(self) -> bool:
        """See OrderReader."""
        noted = [await self._projections(alias) for alias in (self._names.orders, self._names.entries)]
        return all(projections == [mappings.projection()] for projections in noted)

    async def read_model(self) -> str:
        """Returns the id of the read model. Raises ReadStoreNotReady without one."""
        status, answer = await self._connection.request("GET", f"/{self._names.state}/_doc/{IDENTITY}", accept=(404,))
        if status == 404:
            raise not_ready(f"{self._names.state} has no document with the read model's identity")
        return str(answer["_source"]["read_model"])

    async def generation(self) -> str:
        """Returns the generation of the index behind the alias of the orders. Raises ReadStoreNotReady without one."""
        index = await self._index_of(self._names.orders)
        if index is None:
            raise not_ready(f"the alias {self._names.orders} does not exist")
        return self._names.generation_of(index)

    async def serving(self) -> str:
        """Returns the generation that answers readers. Raises ReadStoreNotReady when one of its aliases is missing."""
        found = [await self._index_of(alias) for alias in self._names.documents]
        for alias, index in zip(self._names.documents, found, strict=True):
            if index is None:
                raise not_ready(f"the alias {alias} does not exist")
        return self._names.generation_of(str(found[0]))

    async def _serving(self) -> str | None:
        """Returns the generation that the readers' aliases have, as far as they exist; None when neither does."""
        for alias in self._names.documents:
            if (index := await self._index_of(alias)) is not None:
                return self._names.generation_of(index)
        return None

    async def _check_version(self) -> None:
        path = "/_nodes/_all/_none?filter_path=nodes.*.version"
        status, answer = await self._connection.request("GET", path, accept=(403,))
        if status == 403:
            return  # a user with rights on the indices only may not ask for the version
        for node in answer["nodes"].values():
            if tuple(int(part) for part in node["version"].split(".")[:2]) < LEAST_VERSION:
                least = ".".join(str(part) for part in LEAST_VERSION)
                raise ReadStoreNotReady(f"Elasticsearch {node['version']} is too old: {least} or newer is needed")

    async def _index_of(self, alias: str) -> str | None:
        status, answer = await self._connection.request("GET", f"/{alias}/_alias", accept=(404,))
        if status == 404:
            return None
        indices = [index for index, found in answer.items() if alias in found["aliases"]]
        if len(indices) != 1:
            raise ReadStoreNotReady(
                f"{alias} must be an alias of one index, but it is"
                f" {'an alias of ' + ', '.join(sorted(indices)) if indices else 'an index itself'};"
                " remove the alias from the other indices, or the index"
            )
        return str(indices[0])

    async def _create(self, alias: str, mapping: mappings.Mapping, generation: str) -> None:
        index = self._names.index(alias, generation)
        made_by = {"_meta": {PROJECTIONS: [mappings.projection()]}} if alias in self._names.documents else {}
        body: dict[str, Any] = {
            "mappings": {**mapping, **made_by},
            "settings": mappings.settings(self._refresh_interval(alias)),
            "aliases": {alias: {}},
        }
        status, answer = await self._connection.request("PUT", f"/{index}", body=body, accept=(400,))
        if status != 400:
            return
        kind, reason = describe(answer["error"])
        if kind != "resource_already_exists_exception":
            raise ReadStoreNotReady(f"the index {index} cannot be created: {reason}")
        # Another `migrate` created the index first, or the index lost its alias.
        action = {"actions": [{"add": {"index": index, "alias": alias}}]}
        await self._connection.request("POST", "/_aliases", body=action)
        await self._add_fields(alias, mapping)

    async def _name_generation(self, generation: str) -> None:
        """Gives the readers' indices their generation's own aliases, and notes that this release writes to them."""
        actions = [
            {"add": {"index": await self._index_of(alias), "alias": self._names.alias(alias, generation)}}
            for alias in self._names.documents
        ]
        await self._connection.request("POST", "/_aliases", body={"actions": actions})
        for alias in self._names.documents:
            noted = await self._projections(alias) or [UNKNOWN_PROJECTION]
            if mappings.projection() not in noted:
                body = {"_meta": {PROJECTIONS: [*noted, mappings.projection()]}}
                await self._connection.request("PUT", f"/{alias}/_mapping", body=body)

    async def _projections(self, alias: str) -> list[str]:
        """Returns the prints of the releases that write to an index, in the sequence in which they began."""
        _, answer = await self._connection.request("GET", f"/{alias}/_mapping")
        [found] = answer.values()
        projections: list[str] = found["mappings"].get("_meta", {}).get(PROJECTIONS, [])
        return projections

    async def _add_fields(self, alias: str, mapping: mappings.Mapping) -> None:
        status, answer = await self._connection.request("PUT", f"/{alias}/_mapping", body=mapping, accept=(400,))
        if status == 400:
            raise ReadStoreNotReady(
                f"the mapping of {alias} contradicts this release ({describe(answer['error'])[1]}): the read model must"
                " be rebuilt; run `tandem rebuild start`"
            )

    async def _stamp(self, *, anew: bool) -> None:
        """Writes the read model's identity: a new one (`anew`) when an index of documents was missing."""
        identity = {"kind": IDENTITY, "read_model": str(uuid.uuid4()), "created_at": time.time_ns() // 1000}
        path = f"/{self._names.state}/{'_doc' if anew else '_create'}/{IDENTITY}"
        await self._connection.request("PUT", path, body=identity, accept=(409,))


def _missing(wanted: dict[str, Any], found: dict[str, Any], path: str = "") -> str | None:
    """Returns the path of the first field of `wanted` that `found` lacks or has with another type, or None."""
    for name, field in wanted.items():
        there = found.get(name)
        if there is None or there.get("type", "object") != field.get("type", "object"):
            return f"{path}{name}"
        deeper = _missing(field.get("properties", {}), there.get("properties", {}), f"{path}{name}.")
        if deeper is not None:
            return deeper
    return None
