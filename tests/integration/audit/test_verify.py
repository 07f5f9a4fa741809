"""Every copy of an order on real servers: whatever is changed is found, and the right copy is named."""

from __future__ import annotations

import json
import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import nats
import psycopg
from elasticsearch import AsyncElasticsearch
from nats.aio.client import Client
from tandem.orders.v1.order_command_service_pb2 import RedactCustomerRequest
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest

from audit.notary.stream_reader import StreamReader
from audit.proving.findings import Finding, Report
from audit.proving.journal import export_channel
from audit.verifying import copies, stream_copies
from audit.verifying.sources import Sources
from audit.verifying.stream_copies import compare_stream
from audit.verifying.verify import verify_orders
from tests.fixtures.system import System
from tests.fixtures.write_model import execute
from tests.robustness.test_drift import place_orders
from tests.support.audit_world import AuditWorld
from tests.support.queries.planted_drift import Vandal
from tests.support.queries.read_side import eventually
from tests.support.source_mutants import Mutant, noticed

_SAVED = ("outbox", "orders", "audit_leaf")
SAVE = "; ".join(f"CREATE TABLE kept_{name} AS TABLE {name}" for name in _SAVED)
#: What is done to the second version of an order in Postgres → the copy that a finding names, and what it says.
POSTGRES = {
    "UPDATE outbox SET payload = (payload::text || ' ')::json WHERE {second}": (
        copies.TEXT,
        "journal hash, orders row",
    ),
    "UPDATE outbox SET hash = sha256(hash) WHERE {second}": (copies.HASH, "audit log, index"),
    "UPDATE outbox SET personal = (personal::text || ' ')::json WHERE {second}": (
        "journal personal data",
        "does not give its digest",
    ),
    "UPDATE orders SET head_hash = sha256(head_hash) WHERE order_id = '{order}'": (copies.ROW, "audit log, index"),
    "UPDATE orders SET source = 'nobody' WHERE order_id = '{order}'": ("state tables", "source"),
    "UPDATE audit_leaf SET chain_hash = sha256(chain_hash) WHERE {leaf}": (copies.LOG, "journal hash, journal text"),
    "UPDATE audit_leaf SET leaf_hash = sha256(leaf_hash) WHERE {leaf}": (copies.LOG, "its row's hash"),
}


class Books:
    """A running system with an audit log, and orders of two versions each."""

    def __init__(self, system: System, client: Client, orders: list[str]) -> None:
        self.system, self.client, self.orders = system, client, orders

    async def verified(self, *, stream: bool = False) -> Report:
        """Compares all copies of all orders."""
        report = Report()
        async with (
            export_channel(self.system.export_address) as exports,
            grpc.aio.insecure_channel(self.system.query_address) as queries,
            await psycopg.AsyncConnection.connect(self.system.postgres_url, autocommit=True) as log,
        ):
            sources = Sources(exports, queries, log)
            await verify_orders(sources, report, [] if stream else [UUID(self.orders[0])])
            if stream:
                reader = StreamReader(self.client, self.system.stream)
                assert await compare_stream(reader, sources, report) >= 2 * len(self.orders)
        return report

    async def message(self) -> Any:
        """The stream's message of the second version of the second order."""
        jetstream = self.client.jetstream(timeout=60)
        last = (await jetstream.stream_info(self.system.stream)).state.last_seq
        for sequence in range(1, last + 1):
            found = await jetstream.get_msg(self.system.stream, sequence)
            headers = found.headers or {}
            if headers.get("ce-subject") == self.orders[1] and headers.get("Tandem-Aggregate-Version") == "2":
                return found
        raise AssertionError("no such message")


async def changes_in_postgres_are_named(books: Books) -> None:
    order = books.orders[0]
    second = f"aggregate_id = '{order}' AND aggregate_version = 2"
    leaf = f"order_id = '{order}' AND version = 2"
    url = books.system.postgres_url
    for change, (copy, said) in POSTGRES.items():
        await execute(url, change.format(order=order, second=second, leaf=leaf))
        found = (await books.verified()).findings
        assert {(one.copy, one.order_id, one.version) for one in found} == {(copy, order, 2)}, (change, found)
        assert any(said in one.what for one in found), (change, found)
        await restore(url, order)


async def restore(url: str, order: str) -> None:
    """Takes back what was done to an order in Postgres."""
    await execute(
        url,
        "UPDATE outbox SET payload = kept.payload, personal = kept.personal, hash = kept.hash FROM kept_outbox kept"
        f" WHERE outbox.event_id = kept.event_id AND kept.aggregate_id = '{order}';"
        f"UPDATE orders SET head_hash = kept.head_hash, source = kept.source FROM kept_orders kept"
        f" WHERE orders.order_id = kept.order_id;"
        f"UPDATE audit_leaf SET chain_hash = kept.chain_hash, leaf_hash = kept.leaf_hash FROM kept_audit_leaf kept"
        f" WHERE audit_leaf.leaf_index = kept.leaf_index",
    )


async def changes_in_the_index_are_named(books: Books, vandal: Vandal, client: AsyncElasticsearch) -> None:
    order = books.orders[0]
    entry = f"{order}/2"
    kept = (await client.get(index=vandal.entries_alias, id=entry))["_source"]
    document = (await client.get(index=vandal.orders_alias, id=order))["_source"]
    for index, key, change, before, copy in (
        (vandal.entries_alias, entry, {"hash": "ab" * 32}, kept, "index journal entry"),
        (vandal.orders_alias, order, {"total": 1}, document, "index order document"),
    ):
        await client.update(index=index, id=key, doc=change)
        found = (await books.verified()).findings
        assert [(one.copy, one.version) for one in found] == [(copy, 2)], found
        await client.update(index=index, id=key, doc={name: before[name] for name in change})
    assert (await books.verified()).holds


async def a_changed_message_is_named(books: Books) -> None:
    """A message in the journal's place that another one contradicts."""
    message = await books.message()
    body = message.data.replace(b'{"payload":{', b'{"payload":{ ', 1)
    headers = {name: value for name, value in message.headers.items() if name.startswith(("ce-", "Tandem-"))}
    await books.client.jetstream(timeout=60).publish(message.subject, body, headers=headers)
    found: list[Finding] = (await books.verified(stream=True)).findings
    assert {(one.copy, one.order_id, one.version) for one in found} == {(copies.STREAM, books.orders[1], 2)}, found
    assert found[0].what.endswith("does not give its hash; the journal's does")


async def tandem(system: System, *words: str) -> tuple[int | None, str, str]:
    """Runs a command on the system."""
    environment = {
        **os.environ,
        **system.settings,
        "TANDEM_POSTGRES_URL": system.postgres_url,
        "TANDEM_NATS_URL": system.nats_url,
        "TANDEM_EXPORT_ADDRESS": system.export_address,
        "TANDEM_QUERY_ADDRESS": system.query_address,
    }
    command = [str(Path(sys.executable).parent / "tandem"), "audit", "verify", *words]
    process = await create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def a_redacted_order_stays_valid(books: Books, vandal: Vandal) -> None:
    """The customer's data is erased, which is one more event; the command finds nothing wrong."""
    order, system = books.orders[0], books.system
    shown = await system.queries.GetOrder(GetOrderRequest(order_id=order), timeout=60)
    asked = RedactCustomerRequest(
        request_id=str(uuid4()), customer_id=shown.order.customer.customer_id, reason="the customer asked for it"
    )
    await system.commands.RedactCustomer(asked, timeout=60)

    async def redacted() -> bool:
        [stored] = await vandal.store.orders([order])
        return stored.version == 3

    await eventually(redacted, "a read model without the customer's data")
    code, out, err = await tandem(system, order)
    assert (code, err, out.splitlines()[-1]) == (0, "", "everything matches")


async def test_each_copy_that_is_changed_is_named(own_system: System) -> None:
    system = own_system
    orders = await place_orders(system, 3)
    log = await AuditWorld.over(system.postgres_url, system.nats_url, system.stream, system.subject_prefix)
    client = await nats.connect(system.nats_url, connect_timeout=60)
    try:
        async with Vandal.of(system) as vandal, AsyncElasticsearch(system.elasticsearch_url) as index:
            await eventually(lambda: vandal.is_projected(orders), "a read model with all orders")
            async with log.writing():
                await log.until_size(1 + 2 * len(orders))
            await execute(system.postgres_url, SAVE)
            books = Books(system, client, orders)
            whole = await books.verified(stream=True)
            assert whole.holds, whole.document()
            assert whole.counts["events in the audit log"] == whole.counts["events"] >= 2 * len(orders)
            await changes_in_postgres_are_named(books)
            await changes_in_the_index_are_named(books, vandal, index)
            with noticed(Mutant(copies._dissent, "fewest, *others = sorted(", "*others, fewest = sorted(")):
                await changes_in_postgres_are_named(books)
            await restore(system.postgres_url, orders[0])
            with noticed(
                Mutant(copies.linked, "hashes = [link(one, event) for one in previous]", "hashes = [event.hash]")
            ):
                await changes_in_postgres_are_named(books)
            await restore(system.postgres_url, orders[0])
            await a_redacted_order_stays_valid(books, vandal)
            await a_changed_message_is_named(books)
            with noticed(Mutant(stream_copies._difference, "link(one, event) == event.hash", "True")):
                await a_changed_message_is_named(books)
    finally:
        await client.close()
    await execute(
        system.postgres_url, f"DELETE FROM outbox WHERE aggregate_id = '{orders[2]}' AND aggregate_version = 2"
    )
    code, out, _ = await tandem(system, "--all", "--json")
    found = {(one["copy"], one["order_id"], one["version"]) for one in json.loads(out)["findings"]}
    assert (code, found) == (1, {(copies.STREAM, orders[1], 2), ("journal", orders[2], 2)})
    assert (await tandem(system))[0] == 2
