"""Every copy of an order on real servers: whatever is changed is found, and the right copy is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import nats
import psycopg
import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from nats.aio.client import Client
from tandem.orders.v1.order_command_service_pb2 import RedactCustomerRequest
from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest

from audit.notary.stream_reader import StreamReader
from audit.proving.findings import Finding, Report
from audit.proving.journal import export_channel
from audit.storage import checkpoints, leaf_rows
from audit.verifying import copies, stream_copies
from audit.verifying.log_check import CHECKPOINTS
from audit.verifying.sources import Sources
from audit.verifying.stream_copies import compare_stream
from audit.verifying.verify import verify_orders
from devstack.cli.running import run
from tests.fixtures.system import System, running_system
from tests.fixtures.write_model import execute
from tests.robustness.test_drift import place_orders
from tests.support.audit_superuser import Superuser
from tests.support.audit_world import AuditWorld
from tests.support.queries.planted_drift import Vandal
from tests.support.queries.read_side import eventually
from tests.support.source_mutants import Mutant, noticed

_SAVED = ("outbox", "orders", "audit_leaf", "audit_checkpoint")
SAVE = "; ".join(f"CREATE TABLE kept_{name} AS TABLE {name}" for name in _SAVED)
#: The beginning of the first epoch, and five orders of two events.
LEAVES = 1 + 2 * 5
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


@dataclass(frozen=True)
class Books:
    """A running system with an audit log, and orders of two versions each. The last order has the last leaves."""

    system: System
    client: Client
    vandal: Vandal
    index: AsyncElasticsearch
    log: AuditWorld
    orders: list[str]

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
                assert await compare_stream(reader, sources, report) >= report.counts["events"] > 0
        return report

    async def message(self) -> Any:
        """The stream's message of the second version of the second order."""
        jetstream = self.client.jetstream(timeout=60)
        last = (await jetstream.stream_info(self.system.stream)).state.last_seq
        for sequence in range(1, last + 1):
            found = await jetstream.get_msg(self.system.stream, sequence)
            headers = found.headers or {}
            if headers.get("ce-subject") == self.orders[1] and headers.get("Tandem-Version") == "2":
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
        f" WHERE orders.order_id = kept.order_id AND kept.order_id = '{order}';"
        f"UPDATE audit_leaf SET chain_hash = kept.chain_hash, leaf_hash = kept.leaf_hash FROM kept_audit_leaf kept"
        f" WHERE audit_leaf.leaf_index = kept.leaf_index",
    )


async def changes_in_the_index_are_named(books: Books) -> None:
    order, vandal, client = books.orders[0], books.vandal, books.index
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
    body = message.data.replace(b',"payload":{', b',"payload":{ ', 1)
    headers = {name: value for name, value in message.headers.items() if name.startswith(("ce-", "Tandem-"))}
    await books.client.jetstream(timeout=60).publish(message.subject, body, headers=headers)
    found: list[Finding] = (await books.verified(stream=True)).findings
    assert {(one.copy, one.order_id, one.version) for one in found} == {(copies.STREAM, books.orders[1], 2)}, found
    assert found[0].what.endswith("does not give its hash; the journal's does")


Tandem = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def tandem(books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tandem:
    """Runs a command `tandem audit` on the system: exit code, standard output and standard error."""
    system = books.system
    for name, value in {
        **system.settings,
        "TANDEM_POSTGRES_URL": system.postgres_url,
        "TANDEM_NATS_URL": system.nats_url,
        "TANDEM_EXPORT_ADDRESS": system.export_address,
        "TANDEM_QUERY_ADDRESS": system.query_address,
    }.items():
        monkeypatch.setenv(name, value)

    async def command(*words: object) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, ["audit", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


async def redact(books: Books, order: str) -> None:
    """Erases the data of the order's customer, which is one more event."""
    shown = await books.system.queries.GetOrder(GetOrderRequest(order_id=order), timeout=60)
    asked = RedactCustomerRequest(
        request_id=str(uuid4()), customer_id=shown.order.customer.customer_id, reason="the customer asked for it"
    )
    await books.system.commands.RedactCustomer(asked, timeout=60)

    async def redacted() -> bool:
        [stored] = await books.vandal.store.orders([order])
        return stored.version == 3

    await eventually(redacted, "a read model without the customer's data")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def books(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Books]:
    """One system for all tests. Each leaves it as it was, but for what it says."""
    directory = tmp_path_factory.mktemp("books")
    async with (
        running_system(postgres_url, nats_url, elasticsearch_url, directory) as system,
        Vandal.of(system) as vandal,
        AsyncElasticsearch(system.elasticsearch_url, request_timeout=60) as index,
    ):
        orders = [*await place_orders(system, 4), *await place_orders(system, 1, seed=2)]
        client = await nats.connect(system.nats_url, connect_timeout=60)
        try:
            await eventually(lambda: vandal.is_projected(orders), "a read model with all orders")
            log = await AuditWorld.over(system.postgres_url, system.nats_url, system.stream, system.subject_prefix)
            async with log.writing():
                await log.until_signed(LEAVES)
            await execute(system.postgres_url, SAVE)
            yield Books(system, client, vandal, index, log, orders)
        finally:
            await client.close()


async def test_each_copy_that_is_changed_is_named(books: Books) -> None:
    whole = await books.verified(stream=True)
    assert whole.holds, whole.document()
    assert whole.counts["events in the audit log"] == whole.counts["events"] >= 2 * len(books.orders)
    await changes_in_postgres_are_named(books)
    await changes_in_the_index_are_named(books)


@pytest.mark.mutant
async def test_a_majority_that_is_blamed_and_a_hash_that_is_believed_are_noticed(books: Books) -> None:
    for mutant in (
        Mutant(copies._dissent, "fewest, *others = sorted(", "*others, fewest = sorted("),
        Mutant(copies.linked, "hashes = [link(one, event) for one in previous]", "hashes = [event.hash]"),
    ):
        with noticed(mutant):
            await changes_in_postgres_are_named(books)
        await restore(books.system.postgres_url, books.orders[0])


async def test_a_redacted_order_stays_valid_and_a_changed_message_is_named(books: Books, tandem: Tandem) -> None:
    """The redaction and the message stay."""
    await redact(books, books.orders[0])
    code, out, err = await tandem("verify", books.orders[0])
    assert (code, err, out.splitlines()[-1]) == (0, "", "everything matches")
    await a_changed_message_is_named(books)
    lost = f"aggregate_id = '{books.orders[2]}' AND aggregate_version = 2"
    url = books.system.postgres_url
    await execute(url, f"DELETE FROM outbox WHERE {lost}")
    await execute(url, "UPDATE audit_checkpoint SET note = replace(note, E'\n11\n', E'\n12\n')")
    code, out, _ = await tandem("verify", "--all", "--json", "--key", books.log.key.verification.text)
    told = {(one.get("copy"), one.get("order_id"), one.get("version")) for one in json.loads(out)["findings"]}
    expected = {(copies.STREAM, books.orders[1], 2), ("journal", books.orders[2], 2), (CHECKPOINTS, None, None)}
    assert (code, told) == (1, expected)
    await execute(url, f"INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM kept_outbox WHERE {lost}")
    await execute(url, "DELETE FROM audit_checkpoint; INSERT INTO audit_checkpoint TABLE kept_audit_checkpoint")
    assert (await tandem("verify"))[0] == 2


@pytest.mark.mutant
async def test_a_message_that_is_believed_is_noticed(books: Books) -> None:
    with noticed(Mutant(stream_copies._difference, "link(one, event) == event.hash", "True")):
        await a_changed_message_is_named(books)


async def test_an_edited_row_a_rewritten_history_and_a_cut_end_are_found_with_a_note(
    books: Books, tandem: Tandem, tmp_path: Path
) -> None:
    """In Postgres, stream and index at once. Without the note all copies agree. What is done here stays."""
    async with books.log.database() as connection:
        stored = await checkpoints.newest(connection)
        kept = [row.hash for row in await leaf_rows.between(connection, 0, LEAVES)]
    assert stored is not None
    note = tmp_path / "yesterday.note"
    note.write_text(stored.note)
    (tmp_path / "leaves").write_bytes(b"".join(kept))
    check = ("check", "--note", note, "--key", books.log.key.verification.text)
    code, out, err = await tandem(*check)
    assert (code, err, out.splitlines()[-1]) == (0, "", "everything matches")

    rewritten, last = books.orders[3], books.orders[4]
    second = f"aggregate_id = '{rewritten}' AND aggregate_version = 2"
    url = books.system.postgres_url
    for edit, said in {
        f"UPDATE outbox SET payload = (payload::text || ' ')::json WHERE {second}": "version 2: the journal's text",
        f"UPDATE orders SET head_hash = sha256(head_hash) WHERE order_id = '{rewritten}'": "its row has another hash",
    }.items():
        await execute(url, edit)
        code, out, err = await tandem(*check)
        assert (code, f"WRONG: order {rewritten}" in err, said in err) == (1, True, True), err
        await restore(url, rewritten)

    superuser = Superuser(books.system, books.vandal, books.index)
    await superuser.rewrite(rewritten)
    whole = await books.verified(stream=True)
    assert whole.holds, whole.document()
    code, out, err = await tandem(*check)
    assert (code, "journal and log were changed together" in err) == (1, True), err
    code, out, err = await tandem(*check, "--witness", tmp_path)
    assert (code, err) == (
        1,
        f"WRONG: order {rewritten} version 1: it is the first leaf that differs from what the witness has"
        f" (leaf {await leaf_of(books, rewritten)})\n",
    )

    await superuser.cut_off(last, leaves=LEAVES - 2)
    whole = await books.verified(stream=True)
    assert whole.holds, whole.document()
    code, out, err = await tandem(*check)
    cut = f"WRONG: the log has {LEAVES - 2} leaves, and the note says {LEAVES}: its end was cut off"
    assert (code, err.splitlines()[0]) == (1, cut)


async def leaf_of(books: Books, order: str) -> object:
    """The index of the order's first leaf."""
    [(found,)] = await execute(
        books.system.postgres_url, f"SELECT min(leaf_index) FROM audit_leaf WHERE order_id = '{order}'"
    )
    return found
