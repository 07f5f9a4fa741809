"""What somebody with all rights does to the journal, and to the log too, is found with a note that was kept."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio

from audit.leaves import hash_chain
from audit.leaves.leaf import epoch_leaf, event_leaf
from audit.notes.checkpoint import Checkpoint
from audit.proving.bundle import Bundle, read_bundle
from audit.proving.bundle_check import check_bundle
from audit.proving.findings import Report
from audit.proving.journal import ExportedJournal, export_channel
from audit.proving.known_witness import from_directory
from audit.proving.note_check import NoteCheck
from audit.proving.prove import prove
from audit.storage import checkpoints, leaf_rows
from command_service.domain.commands import HoldOrder, ReleaseOrder
from devstack.cli.running import run
from tests.fixtures.command_process import ANY_PORT, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import execute, migrated_database
from tests.integration.command_service.test_tampering import RESTORE, SAVE
from tests.support.audit_world import AuditWorld
from tests.support.commands.command_application import application, call, place_order
from tests.support.relay import streams
from tests.support.relay.relay_process import RelayProcess
from tests.support.relay.restores import adopt
from tests.support.relay.world import World
from tests.support.source_mutants import Mutant, noticed

SAVE_LOG = "CREATE TABLE saved_leaf AS TABLE audit_leaf; CREATE TABLE saved_checkpoint AS TABLE audit_checkpoint"
RESTORE_LOG = (
    "DELETE FROM audit_leaf; INSERT INTO audit_leaf TABLE saved_leaf;"
    "DELETE FROM audit_checkpoint; INSERT INTO audit_checkpoint TABLE saved_checkpoint"
)
CUSTOMER = "C1"  # of every order
LEAVES = 13  # the beginning of the first epoch, and three orders of four events


@dataclass
class Books:
    """A journal with its log, a note that was kept, and the leaves that a witness has."""

    database_url: str
    exports: str
    world: World
    log: AuditWorld
    note: Checkpoint
    note_file: Path
    witness: Path
    orders: list[UUID]

    async def check(self, *, witness: bool = False, restored: tuple[int, ...] = ()) -> Report:
        """Checks the present state against the note."""
        report = Report()
        leaves = from_directory(self.witness) if witness else None
        async with self.log.database() as connection, export_channel(self.exports) as channel:
            journal = ExportedJournal(channel)
            await NoteCheck(connection, journal, self.note, witness=leaves, restored=restored).run(report)
        return report

    async def bundles(self) -> list[str]:
        """The bundle of each order, as a file has it."""
        async with self.log.database() as connection, export_channel(self.exports) as channel:
            journal = ExportedJournal(channel)
            return [json.dumps((await prove(connection, journal, order)).document()) for order in self.orders]

    def checked(self, text: str, *, events: int) -> Bundle:
        """The bundle of a file, which must prove so many events."""
        bundle = read_bundle(json.loads(text))
        report = check_bundle(bundle, self.log.key.verification, None)
        assert (report.holds, len(bundle.events)) == (True, events), report.document()
        return bundle

    async def restore(self) -> None:
        """Takes back what was done."""
        await execute(self.database_url, RESTORE)
        await execute(self.database_url, RESTORE_LOG)

    async def rewrite(self, order_id: UUID, *, in_the_log: bool) -> None:
        """Changes the order's second event, and chains all after it anew, in journal, row and perhaps log."""
        async with export_channel(self.exports) as channel:
            [order] = [order async for order in ExportedJournal(channel).orders([order_id])]
        previous = hash_chain.GENESIS
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            for event in order.events:
                payload = event.payload + " " if event.version == 2 else event.payload
                previous = hash_chain.link(previous, event._replace(payload=payload))
                await connection.execute(
                    "UPDATE outbox SET payload = %s, hash = %s WHERE event_id = %s", [payload, previous, event.event_id]
                )
                leaf = event_leaf(event.event_id, event.order_id, event.version, previous)
                if in_the_log:
                    await connection.execute(
                        "UPDATE audit_leaf SET chain_hash = %s, leaf_hash = %s WHERE event_id = %s",
                        [previous, leaf.hash, event.event_id],
                    )
            await connection.execute("UPDATE orders SET head_hash = %s WHERE order_id = %s", [previous, order_id])


async def four_events_each(url: str, orders: int) -> list[UUID]:
    """Orders that were placed, held, released and held again."""
    ids = [uuid4() for _ in range(orders)]
    async with application(url) as commands:
        for order_id in ids:
            await commands.place(call(), place_order(order_id))
            for change in (HoldOrder(order_id), ReleaseOrder(order_id), HoldOrder(order_id)):
                await commands.change(call(), change)
    return ids


async def redact(url: str) -> None:
    """Redacts all orders, by RedactCustomer, as often as it takes."""
    async with application(url) as commands:
        while (await commands.redact(call(), CUSTOMER)).remaining_orders:
            pass


async def signed(world: World, log: AuditWorld, size: int) -> Checkpoint:
    """The relay publishes and the notary signs, until the log has so many leaves."""
    relay = RelayProcess(world.settings)
    await relay.start()
    try:
        async with log.writing():
            return await log.until_signed(size)
    finally:
        await relay.kill()


@asynccontextmanager
async def kept_books(world: World, directory: Path, orders: int) -> AsyncIterator[Books]:
    """Some orders of four events that the relay has published and the notary has signed."""
    ids = await four_events_each(world.database_url, orders)
    world.settings["RELAY_MODE"] = "poll"
    log = await AuditWorld.over(world.database_url, world.nats_url, world.stream, world.prefix)
    note = await signed(world, log, 1 + 4 * orders)
    async with log.database() as connection:
        hashes = [row.hash for row in await leaf_rows.between(connection, 0, note.size)]
        stored = await checkpoints.newest(connection)
    assert stored is not None
    (directory / "leaves").write_bytes(b"".join(hashes))
    (directory / "kept.note").write_text(stored.note)
    await execute(world.database_url, f"{SAVE}; {SAVE_LOG}")
    async with serving(world.database_url, export_listen=ANY_PORT) as process:
        yield Books(world.database_url, process.exports, world, log, note, directory / "kept.note", directory, ids)


@pytest_asyncio.fixture(loop_scope="session")
async def world(command_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> World:
    """The write model's outbox and a stream."""
    return World.on(command_database, nats_url, stream_name, subject_prefix)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_books(
    migrated_template: Templates, nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Books]:
    """The books of three orders."""
    stream = f"TEST_{secrets.token_hex(5).upper()}"
    async with migrated_database(migrated_template) as url:
        world = World.on(url, nats_url, stream, stream.lower())
        try:
            async with kept_books(world, tmp_path_factory.mktemp("books"), 3) as kept:
                yield kept
        finally:
            await streams.delete_stream(nats_url, stream)


@pytest_asyncio.fixture(loop_scope="session")
async def books(shared_books: Books) -> AsyncIterator[Books]:
    """The books of three orders, which are put right after the test."""
    yield shared_books
    await shared_books.restore()


#: What is done to the first order (its second event is `X`) → what the check says. `%s` is the order's id.
TAMPERINGS = {
    "UPDATE outbox SET payload = (payload::text || ' ')::json WHERE {second}": "text does not give its hash",
    "UPDATE outbox SET personal = replace(personal::text, 'ö', 'o')::json WHERE {second}": "does not give its digest",
    "UPDATE outbox SET hash = sha256(hash) WHERE {second}": "text does not give its hash",
    "DELETE FROM outbox WHERE {second}": "the journal does not have it any more",
    "DELETE FROM outbox WHERE {order}": "the journal does not have it any more",
    "DELETE FROM outbox WHERE {order} AND aggregate_version = 4": "the journal does not have it any more",
    "UPDATE orders SET head_hash = sha256(head_hash) WHERE order_id = '{id}'": "its row has another hash",
    "DELETE FROM audit_leaf WHERE leaf_index > 10": "its end was cut off",
    "DELETE FROM audit_leaf WHERE leaf_index = 5": "the log's row of this leaf is missing",
    "UPDATE audit_leaf SET leaf_hash = sha256(leaf_hash) WHERE leaf_index = 5": "another content than the log",
}


async def every_change_is_found(books: Books) -> None:
    """Each change is found without a witness."""
    order = f"aggregate_id = '{books.orders[0]}'"
    for change, said in TAMPERINGS.items():
        await execute(
            books.database_url,
            change.format(id=books.orders[0], order=order, second=f"{order} AND aggregate_version = 2"),
        )
        found = await books.check()
        assert any(said in finding.sentence() for finding in found.findings), (change, found.document())
        await books.restore()


async def test_whatever_is_changed_is_found_with_a_note(books: Books) -> None:
    found = await books.check(witness=True)
    assert found.holds, found.document()
    assert f"the root over the first {LEAVES} leaves, which is the note's" in found.checked
    await every_change_is_found(books)
    await a_rewritten_history_is_found(books)
    await books.rewrite(books.orders[0], in_the_log=False)
    sentence = (await books.check()).findings[0].sentence()
    assert sentence.startswith(
        f"order {books.orders[0]} version 2: the journal has it with another content than the log"
    )
    await books.restore()
    await redacted_data_leaves_everything_valid(books)


async def a_rewritten_history_is_found(books: Books) -> None:
    """A chain that is rewritten in the journal and in the log is found; the witness names the first event."""
    for number, order in enumerate(books.orders):
        await books.rewrite(order, in_the_log=True)
        alone, witnessed = await books.check(), await books.check(witness=True)
        assert alone.findings
        assert "journal and log were changed together" in alone.findings[0].what
        [finding] = witnessed.findings
        assert (finding.order_id, finding.version, finding.leaf_index) == (str(order), 2, 1 + 4 * number + 1)
        await books.restore()


async def redacted_data_leaves_everything_valid(books: Books) -> None:
    """Personal data and salts are gone, digests and hashes stay."""
    await execute(books.database_url, "UPDATE outbox SET personal = NULL, salt = NULL")
    found = await books.check(witness=True)
    assert found.holds, found.document()
    await books.restore()


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_thousand_redactions_later_all_proofs_verify(world: World, tmp_path: Path) -> None:
    """Bundles and note were made before; the redactions are events of the log too."""
    async with kept_books(world, tmp_path, 1_000) as books:
        kept = await books.bundles()
        await redact(books.database_url)
        newer = await signed(world, books.log, 1 + 5 * 1_000)
        redactions = "SELECT count(*) FROM audit_leaf JOIN outbox USING (event_id) WHERE event_type = 'ORDER_REDACTED'"
        assert await execute(books.database_url, redactions) == [(1_000,)]
        for note in (books.note, newer):
            found = await replace(books, note=note).check(witness=True)
            assert found.holds, found.document()
            assert f"the root over the first {note.size} leaves, which is the note's" in found.checked
        for text in kept:
            assert books.checked(text, events=4).events[0].event.personal
        for text in await books.bundles():
            *earlier, last = (proved.event for proved in books.checked(text, events=5).events)
            assert last.event_type == "ORDER_REDACTED"
            assert {(event.personal, event.salt) for event in earlier} == {(None, None)}


@pytest.mark.mutant
async def test_a_check_that_believes_the_log_is_noticed(books: Books) -> None:
    with noticed(Mutant(NoteCheck.run, "if root == self._checkpoint.root:", "if True:")):
        await a_rewritten_history_is_found(books)


async def test_the_commands_prove_and_check(
    books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TANDEM_POSTGRES_URL", books.database_url)
    monkeypatch.setenv("TANDEM_EXPORT_ADDRESS", books.exports)
    key = books.log.key.verification.text
    bundle_file = books.witness / "bundle.json"

    async def tandem(*words: object) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, ["audit", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    code, out, err = await tandem("prove", books.orders[1])
    assert (code, err) == (0, "")
    bundle_file.write_text(out)
    assert await tandem("check", bundle_file, "--key", key) == (
        0,
        f"checked: the note of example.com/log over {LEAVES} leaves, signed with its key\n"
        f"checked: 4 events of order {books.orders[1]}\neverything matches\n",
        "",
    )
    bundle = json.loads(out)
    bundle["events"][2]["payload"] += " "
    bundle_file.write_text(json.dumps(bundle))
    code, out, err = await tandem("check", bundle_file, "--key", key)
    assert (code, err) == (
        1,
        f"WRONG: order {books.orders[1]} version 3: its hash does not follow from its content and the version before\n",
    )
    code, out, _ = await tandem("note")
    assert (code, out) == (0, books.note_file.read_text())
    code, out, _ = await tandem("check", "--note", books.note_file, "--key", key, "--witness", books.witness, "--json")
    assert (code, json.loads(out)["holds"]) == (0, True)
    await execute(books.database_url, "DELETE FROM outbox WHERE aggregate_version = 4")
    code, out, err = await tandem("check", "--note", books.note_file, "--key", key)
    assert (code, err.count("the journal does not have it any more")) == (1, 3)
    await books.rewrite(books.orders[0], in_the_log=True)
    for silent, reason in {books.witness / "away": "No such file", "http://127.0.0.1:1": "does not answer"}.items():
        code, out, err = await tandem("check", "--note", books.note_file, "--key", key, "--witness", silent)
        assert (code, err.count("the journal does not have it any more")) == (1, 3)
        assert reason in out
    bundle_file.write_text("[" * 100_000)
    assert (await tandem("check", bundle_file, "--key", key))[0] == 2
    assert (await tandem("prove", UUID(int=1)))[0] == 1
    assert (await tandem("check", "--note", books.note_file, "--key", "x"))[0] == 2
    assert (await tandem("check"))[0] == 2


async def test_an_event_that_a_restore_has_lost_is_forgiven_if_somebody_says_so(books: Books) -> None:
    last = f"aggregate_id = '{books.orders[2]}' AND aggregate_version = 4"
    await execute(books.database_url, f"DELETE FROM outbox WHERE {last}")
    await execute(
        books.database_url,
        "UPDATE orders SET version = 3, head_hash = hash, head_event_id = event_id FROM outbox"
        f" WHERE order_id = aggregate_id AND order_id = '{books.orders[2]}' AND aggregate_version = 3",
    )
    await execute(books.database_url, "UPDATE source SET system_identifier = 'another cluster'")
    assert (await adopt(books.world)).found["lost_events"] == 1
    async with books.log.writing():
        await books.log.until_size(LEAVES + 1)
    assert (await books.log.leaves())[-1] == epoch_leaf(2)
    [finding] = (await books.check()).findings
    assert "check with --restored 2" in finding.what
    assert (finding.order_id, finding.version) == (str(books.orders[2]), 4)
    assert (await books.check(restored=(2,))).holds
