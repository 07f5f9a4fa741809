"""What somebody with all rights does to the journal, and to the log too, is found with a note that was kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from audit.leaves import hash_chain
from audit.leaves.leaf import event_leaf
from audit.notes.checkpoint import Checkpoint
from audit.proving.findings import Report
from audit.proving.journal import ExportedJournal, export_channel
from audit.proving.note_check import NoteCheck
from audit.proving.witness_leaves import from_directory
from audit.storage import checkpoints, leaf_rows
from devstack.cli.running import run
from tests.fixtures.command_process import ANY_PORT, serving
from tests.fixtures.write_model import execute
from tests.integration.command_service.test_tampering import RESTORE, SAVE, four_events
from tests.support.audit_world import AuditWorld
from tests.support.relay.relay_process import RelayProcess
from tests.support.relay.world import World
from tests.support.source_mutants import Mutant, noticed

SAVE_LOG = "CREATE TABLE saved_leaf AS TABLE audit_leaf"
RESTORE_LOG = "DELETE FROM audit_leaf; INSERT INTO audit_leaf TABLE saved_leaf"
LEAVES = 13  # the beginning of the first epoch, and three orders of four events


@dataclass
class Books:
    """A journal with its log, a note that was kept, and the leaves that a witness has."""

    database_url: str
    exports: str
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


@pytest_asyncio.fixture(loop_scope="session")
async def books(
    command_database: str, nats_url: str, stream_name: str, subject_prefix: str, tmp_path: Path
) -> AsyncIterator[Books]:
    """Three orders of four events that the relay has published and the notary has signed."""
    orders = [await four_events(command_database) for _ in range(3)]
    world = World.on(command_database, nats_url, stream_name, subject_prefix)
    relay = RelayProcess({**world.settings, "RELAY_MODE": "poll"})
    await relay.start()
    try:
        log = await AuditWorld.over(command_database, nats_url, stream_name, subject_prefix)
        async with log.writing():
            note = await log.until_signed(LEAVES)
    finally:
        await relay.kill()
    async with log.database() as connection:
        hashes = [row.hash for row in await leaf_rows.between(connection, 0, LEAVES)]
        stored = await checkpoints.newest(connection)
    assert stored is not None
    (tmp_path / "leaves").write_bytes(b"".join(hashes))
    (tmp_path / "kept.note").write_text(stored.note)
    await execute(command_database, f"{SAVE}; {SAVE_LOG}")
    async with serving(command_database, export_listen=ANY_PORT) as process:
        yield Books(command_database, process.exports, log, note, tmp_path / "kept.note", tmp_path, orders)


#: What is done to the first order (its second event is `X`) → what the check says. `%s` is the order's id.
TAMPERINGS = {
    "UPDATE outbox SET payload = (payload::text || ' ')::json WHERE {second}": "text does not give its hash",
    "UPDATE outbox SET personal = replace(personal::text, 'ö', 'o')::json WHERE {second}": "does not give its digest",
    "UPDATE outbox SET hash = sha256(hash) WHERE {second}": "text does not give its hash",
    "DELETE FROM outbox WHERE {second}": "the journal does not have it any more",
    "DELETE FROM outbox WHERE {order}": "the journal does not have it any more",
    "DELETE FROM outbox WHERE {order} AND aggregate_version = 4": "the journal does not have it any more",
    "DELETE FROM audit_leaf WHERE leaf_index > 10": "its end was cut off",
    "DELETE FROM audit_leaf WHERE leaf_index = 5": "the log's row of this leaf is missing",
    "UPDATE audit_leaf SET leaf_hash = sha256(leaf_hash) WHERE leaf_index = 5": "another content than the log",
}


async def every_change_is_found(books: Books) -> None:
    """Each change is found without a witness."""
    order = f"aggregate_id = '{books.orders[0]}'"
    for change, said in TAMPERINGS.items():
        await execute(books.database_url, change.format(order=order, second=f"{order} AND aggregate_version = 2"))
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
    await a_lost_event_is_forgiven_after_a_restore_only(books)
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


async def a_lost_event_is_forgiven_after_a_restore_only(books: Books) -> None:
    """An event that a restore has lost is a finding until somebody says that it was one."""
    last = f"aggregate_id = '{books.orders[2]}' AND aggregate_version = 4"
    await execute(books.database_url, f"DELETE FROM outbox WHERE {last}")
    epoch = "INSERT INTO audit_leaf (leaf_index, stream_sequence, kind, epoch, leaf_hash)"
    await execute(books.database_url, f"{epoch} VALUES (13, 99, 'epoch', 2, sha256(''))")
    assert "check with --restored 2" in (await books.check()).findings[0].what
    assert (await books.check(restored=(2,))).holds
    await books.restore()


async def redacted_data_leaves_everything_valid(books: Books) -> None:
    """Personal data and salts are gone, digests and hashes stay."""
    await execute(books.database_url, "UPDATE outbox SET personal = NULL, salt = NULL")
    found = await books.check(witness=True)
    assert found.holds, found.document()
    await books.restore()


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
    assert (await tandem("prove", UUID(int=1)))[0] == 1
    assert (await tandem("check", "--note", books.note_file, "--key", "x"))[0] == 2
    assert (await tandem("check"))[0] == 2
