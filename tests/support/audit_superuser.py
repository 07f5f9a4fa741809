"""Does what somebody with all rights on all servers can do: rewrites an order in every store, or cuts off the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

import psycopg
from elasticsearch import AsyncElasticsearch

from audit.leaves.hash_chain import GENESIS, RecordedEvent, link
from audit.leaves.leaf import event_leaf
from audit.proving.journal import ExportedJournal, export_channel
from relay.events.digest import base64url
from tests.fixtures.system import System
from tests.support.audit_events import body_of
from tests.support.queries.planted_drift import Vandal
from tests.support.relay import streams
from tests.support.relay.streams import Stored

HASH, VERSION = "Tandem-Hash", "Tandem-Version"


class Superuser:
    """Changes Postgres, the log's tables, the stream and the index of a system so that they agree with each other.

    Relay and projector are stopped for good, so that they do not see a stream that is replaced under them.
    """

    def __init__(self, system: System, vandal: Vandal, index: AsyncElasticsearch) -> None:
        self._system, self._vandal, self._index = system, vandal, index

    async def rewrite(self, order_id: str) -> None:
        """Changes the text of the order's first event, and chains all its events anew, in every store."""
        events = await self._chained_anew(order_id)
        async with await psycopg.AsyncConnection.connect(self._system.postgres_url) as connection:
            for event in events:
                leaf = event_leaf(event.event_id, event.order_id, event.version, event.hash)
                await connection.execute(
                    "UPDATE outbox SET payload = %s, hash = %s WHERE event_id = %s",
                    [event.payload, event.hash, event.event_id],
                )
                await connection.execute(
                    "UPDATE audit_leaf SET chain_hash = %s, leaf_hash = %s WHERE event_id = %s",
                    [event.hash, leaf.hash, event.event_id],
                )
            head = events[-1].hash
            await connection.execute("UPDATE orders SET head_hash = %s WHERE order_id = %s", [head, order_id])
        for event in events:
            entry = {"payload": event.payload, "hash": event.hash.hex()}
            await self._index.update(index=self._vandal.entries_alias, id=f"{order_id}/{event.version}", doc=entry)
        document = {"hash": events[-1].hash.hex()}
        await self._index.update(index=self._vandal.orders_alias, id=order_id, doc=document)
        by_version = {str(event.version): event for event in events}

        def rewritten(message: Stored) -> Stored:
            if not message.is_event or message.headers["ce-subject"] != order_id:
                return message
            event = by_version[message.headers[VERSION]]
            headers = {**message.headers, HASH: base64url(event.hash.hex())}
            return Stored(message.sequence, message.subject, headers, body_of(event))

        await self._replace_stream(lambda messages: map(rewritten, messages))

    async def cut_off(self, order_id: str, *, leaves: int) -> None:
        """Removes an order from every store. The log keeps so many `leaves`, and the checkpoints of no more."""
        async with await psycopg.AsyncConnection.connect(self._system.postgres_url) as connection:
            await connection.execute("SET LOCAL session_replication_role = replica")  # without foreign keys
            found = await connection.execute(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'order_id'"
                " AND table_schema = current_schema() AND table_name NOT LIKE 'audit%'"
            )
            for (table,) in await found.fetchall():
                await connection.execute(f'DELETE FROM "{table}" WHERE order_id = %s'.encode(), [order_id])
            gone = await connection.execute(
                "DELETE FROM outbox WHERE aggregate_id = %s RETURNING aggregate_version", [order_id]
            )
            versions = [version for (version,) in await gone.fetchall()]
            await connection.execute("DELETE FROM audit_leaf WHERE leaf_index >= %s", [leaves])
            await connection.execute("DELETE FROM audit_checkpoint WHERE size > %s", [leaves])
        await self._index.delete(index=self._vandal.orders_alias, id=order_id)
        for version in versions:
            await self._index.delete(index=self._vandal.entries_alias, id=f"{order_id}/{version}")
        await self._replace_stream(
            lambda messages: (one for one in messages if one.headers.get("ce-subject") != order_id)
        )

    async def _chained_anew(self, order_id: str) -> list[RecordedEvent]:
        async with export_channel(self._system.export_address) as channel:
            [journal] = [one async for one in ExportedJournal(channel).orders([UUID(order_id)])]
        previous, events = GENESIS, list[RecordedEvent]()
        for event in journal.events:
            payload = event.payload.replace("{", "{ ", 1) if event.version == 1 else event.payload
            changed = event._replace(payload=payload)
            previous = link(previous, changed)
            events.append(changed._replace(hash=previous))
        return events

    async def _replace_stream(self, change: Callable[[list[Stored]], Iterable[Stored]]) -> None:
        """Makes the stream anew with other messages, because it lets none be deleted. Repeated events are left out."""
        for name in ("relay", "query-project"):
            await self._system.processes[name].stop()
        url, name = self._system.nats_url, self._system.stream
        first: dict[str, Stored] = {}
        for message in await streams.read_all(url, name):
            first.setdefault(message.headers.get("ce-id", f"message {message.sequence}"), message)
        async with streams.client(url) as connection:
            jetstream = streams.jetstream_of(connection)
            config = (await jetstream.stream_info(name)).config
            await jetstream.delete_stream(name)
            await jetstream.add_stream(config)
            for message in change(list(first.values())):
                headers = {key: value for key, value in message.headers.items() if not key.startswith("Nats-")}
                await jetstream.publish(message.subject, message.body, headers=headers)
