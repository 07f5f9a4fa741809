"""Each table of the log is compared with the others and with the witness: whatever is changed is named."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from audit.leaves.leaf import event_leaf
from audit.notary.witness_client import WitnessClient
from audit.notes.checkpoint import Checkpoint, sign_checkpoint
from audit.notes.keys import Kind, VerificationKey, new_key
from audit.proving.findings import Finding, Report
from audit.proving.known_witness import from_address, from_directory
from audit.storage import checkpoints, leaf_rows
from audit.storage.leaf_rows import Placed
from audit.storage.tree_nodes import STORED_LEVELS, TreeNodes
from audit.tree.frontier import Frontier, Node
from audit.verifying.copies import LOG
from audit.verifying.log_check import CHECKPOINTS, LogCheck
from audit.witness.memory import WitnessMemory
from audit.witness.server import WitnessServer
from tests.fixtures.write_model import execute
from tests.integration.audit.test_notary import history
from tests.support.audit_world import AuditWorld
from tests.support.chance import tell
from tests.support.source_mutants import Mutant, noticed

TABLES = ("audit_leaf", "audit_node", "audit_checkpoint")
SAVE = "; ".join(f"CREATE TABLE kept_{name} AS TABLE {name}" for name in TABLES)
RESTORE = "; ".join(f"DELETE FROM {name}; INSERT INTO {name} TABLE kept_{name}" for name in TABLES)


@dataclass
class SignedLog:
    """A log with the checkpoints of 151 and of 301 leaves, and the witness that signed both."""

    log: AuditWorld
    witness_key: VerificationKey
    witness_url: str
    directory: Path

    async def check(self, *, witness: str = "", keys: bool = True) -> Report:
        """Compares the tables; `witness` is "", "directory" or "url"."""
        report = Report()
        async with self.log.database() as connection, aiohttp.ClientSession() as session:
            known = {
                "": None,
                "url": from_address(session, self.witness_url),
                "directory": from_directory(self.directory),
            }
            await LogCheck(
                connection,
                report,
                log_key=self.log.key.verification if keys else None,
                witness_key=self.witness_key if keys else None,
                witness=known[witness],
            ).run()
        return report

    async def rewrite(self, index: int, *, sign: bool = False) -> None:
        """Changes an event's leaf and its hash; with `sign` also the node, and the checkpoint, with the log's key."""
        async with self.log.database() as connection:
            rows = await leaf_rows.between(connection, 0, 301)
            old = rows[index].leaf
            assert old.event_id is not None
            assert old.order_id is not None
            assert old.version is not None
            new = event_leaf(old.event_id, old.order_id, old.version, bytes(32))
            await connection.execute(
                "UPDATE audit_leaf SET chain_hash = %s, leaf_hash = %s WHERE leaf_index = %s",
                [new.chain_hash, new.hash, index],
            )
            if not sign:
                return
            tree = Frontier()
            nodes: list[Node] = []
            for row in rows:
                nodes += tree.append(new.hash if row.leaf_index == index else row.hash)
            [node] = [one for one in nodes if one.level == 8]
            await connection.execute("UPDATE audit_node SET hash = %s", [node.hash])
            note = sign_checkpoint(Checkpoint(self.log.key.name, 301, tree.root()), self.log.key)
            await connection.execute(
                "UPDATE audit_checkpoint SET note = %s, cosigned = NULL WHERE size = 301", [note.text]
            )


@pytest_asyncio.fixture(loop_scope="session")
async def signed(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, tmp_path: Path
) -> AsyncIterator[SignedLog]:
    """Three hundred events, and two checkpoints that a witness has signed."""
    log = await AuditWorld.make(postgres_database, nats_url, stream_name, subject_prefix)
    key = new_key("example.com/witness", Kind.COSIGNATURE)
    server = WitnessServer(WitnessMemory(tmp_path), key, log.key.verification, now=time.time)
    url = f"http://{await server.start('127.0.0.1:0')}"
    try:
        client, messages = WitnessClient(url, key.verification), history(100, 3)
        for part, size in ((messages[:150], 151), (messages[150:], 301)):
            await log.publish(part)
            async with log.writing(checkpoint_seconds=3_600, batch_events=150):
                await log.until_signed(size)
            async with log.database() as connection, aiohttp.ClientSession() as session:
                assert await client.bring(connection, session) == size
        await execute(log.database_url, SAVE)
        yield SignedLog(log, key.verification, url, tmp_path)
    finally:
        await server.stop()


LEAF = "UPDATE audit_leaf SET leaf_hash = sha256(leaf_hash) WHERE leaf_index = {0}"
#: What is done to the tables → the copy that is named, and what is said of it, without a witness.
CHANGES = {
    "UPDATE audit_checkpoint SET note = replace(note, E'\n151\n', E'\n150\n') WHERE size = 151": [
        (CHECKPOINTS, "the checkpoint of 151 leaves has a wrong signature of the key example.com/log+")
    ],
    "UPDATE audit_checkpoint SET note = 'x' WHERE size = 301": [
        (CHECKPOINTS, "the checkpoint of 301 leaves is no signed note")
    ],
    "UPDATE audit_checkpoint SET size = 150 WHERE size = 151": [
        (CHECKPOINTS, "the checkpoint of 150 leaves has the note of 151 leaves")
    ],
    "UPDATE audit_checkpoint SET cosigned = replace(cosigned, E'\n301\n', E'\n300\n') WHERE size = 301": [
        (CHECKPOINTS, "the checkpoint of 301 leaves has another text in the note that the witness signed")
    ],
    "UPDATE audit_checkpoint SET cosigned = regexp_replace(cosigned, '(witness .{{20}}).', '\\1_') WHERE size = 301": [
        (CHECKPOINTS, "the checkpoint of 301 leaves is no signed note")
    ],
    "UPDATE audit_node SET hash = sha256(hash)": [(LOG, "its node at level 8 is not what its leaves give (leaf 0)")],
    "DELETE FROM audit_node": [(LOG, "its node at level 8 is not what its leaves give (leaf 0)")],
    LEAF.format(290): [
        (LOG, "its row's hash is not that of its content (leaf 290)"),
        (LOG, "its first 301 leaves do not give the root that was signed for them"),
    ],
    "DELETE FROM audit_leaf WHERE leaf_index = 200": [
        (LOG, "the row of this leaf is missing, and 301 were signed (leaf 200)")
    ],
    "DELETE FROM audit_leaf WHERE leaf_index > 299": [
        (LOG, "the row of this leaf is missing, and 301 were signed (leaf 300)")
    ],
}


def told(findings: list[Finding], expected: list[tuple[str, str]]) -> bool:
    """Whether the findings are exactly those, in their order."""
    said = [(one.copy, one.sentence().removeprefix(f"{one.copy}: ")) for one in findings]
    return len(said) == len(expected) and all(
        copy == wanted and sentence.startswith(text)
        for (copy, sentence), (wanted, text) in zip(said, expected, strict=True)
    )


async def whatever_is_changed_is_named(signed: SignedLog) -> None:
    """Each change alone, and a leaf that was rewritten with its hash."""
    for change, expected in CHANGES.items():
        await execute(signed.log.database_url, change.replace("{{", "{").replace("}}", "}"))
        found = (await signed.check()).findings
        assert told(found, expected), (change, found)
        await execute(signed.log.database_url, RESTORE)
    await signed.rewrite(290)
    found = (await signed.check()).findings
    assert told(found, [(LOG, "its first 301 leaves do not give the root that was signed for them")]), found
    await execute(signed.log.database_url, RESTORE)


async def what_is_signed_anew_the_witness_names(signed: SignedLog) -> None:
    """Somebody has the log's key, and rewrites leaf, node and checkpoint."""
    await signed.rewrite(200, sign=True)
    alone = await signed.check()
    assert alone.holds, alone.document()
    for where in ("directory", "url"):
        found = (await signed.check(witness=where)).findings
        assert told(
            found,
            [
                (LOG, "it is the first leaf that differs from what the witness has (leaf 200)"),
                (LOG, "its first 301 leaves do not give the root that the witness remembers for them"),
            ],
        ), found
    await execute(signed.log.database_url, RESTORE)
    await execute(signed.log.database_url, "DELETE FROM audit_checkpoint WHERE size = 301")
    found = (await signed.check(witness="url")).findings
    assert told(found, [(LOG, "the witness has signed 301 leaves, and no checkpoint is so large")]), found
    await execute(signed.log.database_url, RESTORE)


async def test_whatever_is_changed_in_the_log_is_named(signed: SignedLog, tmp_path: Path) -> None:
    for where in ("", "directory", "url"):
        found = await signed.check(witness=where)
        assert (found.findings, found.remarks) == ([], [])
        assert found.checked == ["2 signed checkpoints over 301 leaves of the log"]
    [checked] = (await signed.check(keys=False)).checked
    assert checked.endswith("without their signatures: the log's key was not given")
    await whatever_is_changed_is_named(signed)
    await what_is_signed_anew_the_witness_names(signed)
    signed.directory = tmp_path / "away"
    found = await signed.check(witness="directory")
    assert (found.findings, len(found.remarks)) == ([], 1)
    async with signed.log.database() as connection:
        assert [one.size async for one in checkpoints.ascending(connection, 300)] == [151]


@pytest.mark.mutant
async def test_a_check_that_does_not_look_at_roots_or_signatures_is_noticed(signed: SignedLog) -> None:
    for mutant in (
        Mutant(LogCheck._compare_root, "if self._tree.root() == checkpoint.root", "if True"),
        Mutant(LogCheck._parsed, "if self._log_key is not None:", "if False:"),
        Mutant(LogCheck._opened, "if checkpoint.size != stored.size:", "if False:"),
    ):
        with noticed(mutant):
            await whatever_is_changed_is_named(signed)
        await execute(signed.log.database_url, RESTORE)
    with noticed(Mutant(LogCheck._grow, "if remembered is not None", "if False")):
        await what_is_signed_anew_the_witness_names(signed)


async def grown(log: AuditWorld, size: int) -> None:
    """Adds events, nodes and a checkpoint for each thousand leaves up to `size`, as a notary does."""
    async with log.database() as connection:
        tree = await TreeNodes(connection).frontier(await leaf_rows.size(connection))
        while tree.size < size:
            placed: list[Placed] = []
            nodes: list[Node] = []
            for index in range(tree.size, tree.size + 1_000):
                leaf = event_leaf(UUID(int=index), UUID(int=index // 4), index % 4 + 1, hash_of(index))
                placed.append(Placed(index, index + 1, leaf, leaf.hash))
                nodes += [node for node in tree.append(leaf.hash) if node.level % STORED_LEVELS == 0]
            note = sign_checkpoint(Checkpoint(log.key.name, tree.size, tree.root()), log.key)
            async with connection.transaction(), connection.cursor() as cursor:
                await leaf_rows.write(connection, placed)
                await cursor.executemany("INSERT INTO audit_node VALUES (%s, %s, %s)", [tuple(node) for node in nodes])
                await checkpoints.write(connection, tree.size, note.text)


def hash_of(index: int) -> bytes:
    """A hash that differs for each index."""
    return hashlib.sha256(str(index).encode()).digest()


@pytest.mark.long
async def test_memory_does_not_grow_with_the_log(postgres_database: str, nats_url: str) -> None:
    log = await AuditWorld.over(postgres_database, nats_url, "ORDERS", "orders")
    peaks: list[int] = []
    for size in (25_000, 100_000):
        await grown(log, size)
        report, begun = Report(), time.process_time()
        tracemalloc.start()
        async with log.database() as connection:
            await LogCheck(connection, report, log_key=log.key.verification).run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        tell(f"{size:,} leaves: {peaks[-1] / 1e6:.1f} MB, {time.process_time() - begun:.1f} s of processor time")
        assert report.holds, report.document()
        assert report.checked == [f"{size // 1_000} signed checkpoints over {size} leaves of the log"]
    assert peaks[1] < 1.2 * peaks[0]
