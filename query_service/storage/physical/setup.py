"""Creates the indices and their aliases, and checks that they have the mappings of this release.

Only `migrate` creates them, and a projector stops if an alias is missing. Otherwise Elasticsearch would create a lost
index with the next document. It would guess the mapping, and the loss of all earlier documents would go unnoticed.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.read_store import StoreIdentity
from query_service.storage.physical import mappings
from query_service.storage.physical.connection import ElasticsearchConnection, describe, not_ready
from query_service.storage.physical.names import FIRST_GENERATION, IndexNames

IDENTITY = "identity"
LEAST_VERSION = (9, 0)


class IndexSetup:
    """Sets up and checks the indices of one installation."""

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
        for alias, mapping in self._mappings.items():
            if await self._index_of(alias) is not None:
                await self._add_fields(alias, mapping)
            else:
                await self._create(alias, mapping)
                documents_lost |= alias in (self._names.orders, self._names.entries)
        await self._stamp(anew=documents_lost)
        return await self.check()

    async def check(self) -> StoreIdentity:
        """Checks that every alias has one index with all fields of this release, and returns the identity.

        Raises ReadStoreNotReady when one does not.
        """
        for alias, mapping in self._mappings.items():
            index = await self._index_of(alias)
            if index is None:
                raise not_ready(f"the alias {alias} does not exist")
            _, answer = await self._connection.request("GET", f"/{alias}/_mapping")
            missing = _missing(mapping["properties"], answer[index]["mappings"].get("properties", {}))
            if missing:
                raise not_ready(f"the mapping of {alias} does not know the field {missing}")
        status, answer = await self._connection.request("GET", f"/{self._names.state}/_doc/{IDENTITY}", accept=(404,))
        if status == 404:
            raise not_ready(f"{self._names.state} has no document with the read model's identity")
        return StoreIdentity(answer["_source"]["read_model"], await self.generation())

    async def generation(self) -> str:
        """Returns the generation of the index behind the alias of the orders. Raises ReadStoreNotReady without one."""
        index = await self._index_of(self._names.orders)
        if index is None:
            raise not_ready(f"the alias {self._names.orders} does not exist")
        return index.removeprefix(f"{self._names.orders}-")

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

    async def _create(self, alias: str, mapping: mappings.Mapping) -> None:
        index = self._names.index(alias, FIRST_GENERATION)
        body: dict[str, Any] = {"mappings": mapping, "settings": mappings.SETTINGS, "aliases": {alias: {}}}
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

    async def _add_fields(self, alias: str, mapping: mappings.Mapping) -> None:
        # The excludes of `_source` cannot be changed later. An index without them stores page parts in `_source` too.
        body = {name: part for name, part in mapping.items() if name != "_source"}
        status, answer = await self._connection.request("PUT", f"/{alias}/_mapping", body=body, accept=(400,))
        if status == 400:
            raise ReadStoreNotReady(
                f"the mapping of {alias} contradicts this release ({describe(answer['error'])[1]}): the read model must"
                " be rebuilt"
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
