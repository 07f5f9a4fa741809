"""Damages a read model in every way that a check for drift must find."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
from elasticsearch import AsyncElasticsearch
from tandem.orders.v1.order_command_service_pb2 import ReleaseOrderRequest

from query_service.application.comparing.findings import Kind
from query_service.config import QuerySettings
from query_service.projection.project import order_after, project
from query_service.projection.stream_event import read_event
from query_service.storage.physical.kept_orders import kept
from query_service.storage.physical.store import PhysicalStore
from tests.fixtures.system import System
from tests.support.queries.order_events import an_order, published
from tests.support.queries.read_side import eventually

_BREAK = """CREATE OR REPLACE FUNCTION break_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.headers := replace(NEW.headers::text, '"schema_version":"1"', '"schema_version":"9"');
  RETURN NEW;
END $$;"""


def query_settings(system: System, **changes: Any) -> QuerySettings:
    """Returns the settings of the system's query service."""
    prefix = "QUERY_"
    values = {
        name.removeprefix(prefix).lower(): value for name, value in system.settings.items() if name.startswith(prefix)
    }
    return QuerySettings(**{**values, **changes})


class Vandal:
    """Writes into the stores of a system past its services. `orders` of its methods have two versions or more."""

    def __init__(self, system: System, client: AsyncElasticsearch) -> None:
        self._client, self._system = client, system
        self.orders_alias, self.entries_alias = f"{system.index_prefix}orders", f"{system.index_prefix}order-events"
        self.store = PhysicalStore(system.elasticsearch_url, index_prefix=system.index_prefix, request_timeout=60)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, system: System) -> AsyncIterator[Vandal]:
        """Yields one, whose connections are closed at the end of the block."""
        async with AsyncElasticsearch(system.elasticsearch_url, request_timeout=60) as client:
            vandal = cls(system, client)
            try:
                yield vandal
            finally:
                await vandal.store.close()

    async def is_projected(self, order_ids: Sequence[str]) -> bool:
        """Returns whether the read model has the second version of each order, or a later one."""
        for begin in range(0, len(order_ids), 1_000):
            shown = await self.store.shown(order_ids[begin : begin + 1_000])
            if not all(order.edition[1] >= 2 for order in shown):
                return False
        return True

    async def plant(self, kind: Kind, order_id: str) -> str:
        """Damages the order so that `kind` is found, and returns the id of the order that is wrong then."""
        plant = {
            Kind.DOCUMENT_MISSING: self._lose_document,
            Kind.DOCUMENT_ALTERED: self._alter_document,
            Kind.DOCUMENT_OLDER: self._set_back,
            Kind.ENTRY_MISSING: self._lose_entry,
            Kind.ENTRY_ALTERED: self._alter_entry,
            Kind.ORDER_UNKNOWN: self._invent,
            Kind.PARKED_UNRECORDED: self._break_and_hide,
        }[kind]
        return await plant(order_id)

    async def swap(self) -> str:
        """Sends readers to an empty index, and returns its name."""
        [(index, about)] = (await self._client.indices.get(index=self.orders_alias)).body.items()
        empty = f"{self.orders_alias}-empty"
        await self._client.indices.create(index=empty, mappings=about["mappings"])
        await self._client.indices.update_aliases(
            actions=[
                {"remove": {"index": index, "alias": self.orders_alias}},
                {"add": {"index": empty, "alias": self.orders_alias}},
            ]
        )
        return empty

    async def _lose_document(self, order_id: str) -> str:
        await self._client.delete(index=self.orders_alias, id=order_id)
        return order_id

    async def _alter_document(self, order_id: str) -> str:
        await self._rewrite(self.orders_alias, order_id, lambda source: {"total": source["total"] + 1})
        return order_id

    async def _set_back(self, order_id: str) -> str:
        [entry] = await self.store.entries(order_id, [1])
        assert entry is not None
        await self._client.index(index=self.orders_alias, id=order_id, document=kept(order_after(entry)))
        return order_id

    async def _lose_entry(self, order_id: str) -> str:
        await self._client.delete(index=self.entries_alias, id=f"{order_id}/1")
        return order_id

    async def _alter_entry(self, order_id: str) -> str:
        await self._rewrite(
            self.entries_alias, f"{order_id}/1", lambda source: {"payload": f"{source['payload'][:-1]} }}"}
        )
        return order_id

    async def _invent(self, order_id: str) -> str:
        message = published(an_order())
        await self.store.apply([project(read_event(message.headers, message.body))])
        return message.order_id

    async def _break_and_hide(self, order_id: str) -> str:
        """Records an event that no release can project, waits until it is parked, and deletes the record."""
        async with await psycopg.AsyncConnection.connect(self._system.postgres_url, autocommit=True) as connection:
            await connection.execute(
                f"{_BREAK} CREATE OR REPLACE TRIGGER break_events BEFORE INSERT ON outbox"
                f" FOR EACH ROW WHEN (NEW.aggregate_id = '{order_id}') EXECUTE FUNCTION break_event()"
            )
            released = ReleaseOrderRequest(request_id=str(uuid.uuid4()), order_id=order_id, reason="of a later release")
            await self._system.commands.ReleaseOrder(released, timeout=60)
            await connection.execute("DROP TRIGGER break_events ON outbox")
        await eventually(lambda: self._is_parked(order_id), "a record of the parked event")
        await self._client.delete(index=f"{self._system.index_prefix}orders-parked", id=order_id)
        return order_id

    async def _is_parked(self, order_id: str) -> bool:
        return bool(await self.store.parked(order_id))

    async def _rewrite(self, index: str, key: str, change: Any) -> None:
        found = await self._client.get(index=index, id=key)
        source: Mapping[str, Any] = found["_source"]
        await self._client.index(
            index=index,
            id=key,
            document={**source, **change(source)},
            version=found["_version"],
            version_type="external_gte",
        )
