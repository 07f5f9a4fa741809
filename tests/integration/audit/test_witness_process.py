"""A witness as a process: it cosigns what continues, over restarts, and a log that was set back finds no signature.

The second one is run by `tandem audit witness`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from audit.notary.witness_client import WitnessClient, WitnessRefuses
from audit.notes.checkpoint import open_checkpoint
from audit.notes.cosignature import require_cosignature
from audit.notes.keys import Kind, new_key, verification_key
from audit.storage import checkpoints
from audit.witness.memory import WitnessMemory
from audit.witness.server import WitnessServer
from tests.fixtures.write_model import execute
from tests.integration.audit.test_notary import history
from tests.support.audit_events import EventWriter, message_of
from tests.support.audit_world import TANDEM_AUDIT, AuditProcess, AuditWorld
from tests.support.source_mutants import Mutant, noticed


@pytest_asyncio.fixture(loop_scope="session")
async def log(postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> AuditWorld:
    """An empty log and an empty stream."""
    return await AuditWorld.make(postgres_database, nats_url, stream_name, subject_prefix)


def process_of(log: AuditWorld, directory: Path) -> AuditProcess:
    """`python -m audit witness` with its directory as a setting."""
    return AuditProcess("witness", witness_directory=directory, log_key=log.key.verification.text)


def command_of(log: AuditWorld, directory: Path) -> AuditProcess:
    """`tandem audit witness --dir`."""
    key = log.key.verification.text
    return AuditProcess("witness", "--dir", str(directory), program=TANDEM_AUDIT, log_key=key)


@asynccontextmanager
async def witness(process: AuditProcess) -> AsyncIterator[tuple[AuditProcess, WitnessClient]]:
    """A witness, killed at the end of the block, and who brings checkpoints to it."""
    told = await process.start()
    try:
        key = verification_key(told["key"], Kind.COSIGNATURE)
        yield process, WitnessClient(f"http://{told['address']}", key)
    finally:
        await process.end()


async def brought(log: AuditWorld, client: WitnessClient) -> int | None:
    """Brings the newest checkpoint."""
    async with log.database() as connection, aiohttp.ClientSession() as session:
        return await client.bring(connection, session)


async def a_fault_is_no_refusal(log: AuditWorld, directory: Path) -> None:
    """The witness cannot write what it signs; it signs once it can."""
    await log.publish(history(1, 1))
    async with log.writing():
        await log.until_signed(2)
    key = new_key("example.com/witness", Kind.COSIGNATURE)
    server = WitnessServer(WitnessMemory(directory), key, log.key.verification, now=time.time)
    client = WitnessClient(f"http://{await server.start('127.0.0.1:0')}", key.verification)
    try:
        (directory / "checkpoint.new").mkdir()
        with pytest.raises(aiohttp.ClientResponseError, match="500"):
            await brought(log, client)
        (directory / "checkpoint.new").rmdir()
        assert await brought(log, client) == 2
    finally:
        await server.stop()


async def test_a_witness_that_cannot_write_is_unavailable_and_does_not_refuse(log: AuditWorld, tmp_path: Path) -> None:
    await a_fault_is_no_refusal(log, tmp_path)


@pytest.mark.mutant
async def test_a_fault_that_counts_as_a_refusal_is_noticed(log: AuditWorld, tmp_path: Path) -> None:
    with noticed(Mutant(WitnessClient._post, "if response.status >= 500:", "if False:"), or_raises=(WitnessRefuses,)):
        await a_fault_is_no_refusal(log, tmp_path)


async def test_checkpoints_are_cosigned_over_restarts_and_a_fork_is_not(log: AuditWorld, tmp_path: Path) -> None:
    messages = history(20, 3)
    await log.publish(messages[:30])
    async with log.writing():
        await log.until_signed(31)
    async with witness(process_of(log, tmp_path)) as (_, client):
        assert await brought(log, client) == 31
        assert await brought(log, client) is None
        position = await execute(log.database_url, "SELECT sequence FROM audit_position")
        await log.publish(messages[30:])
        async with log.writing():
            await log.until_signed(61)
        assert await brought(log, client) == 61
        await set_back(log, 31, position)
        async with log.writing():
            await log.until_signed(61)
        assert await brought(log, client) == 61
        key = client._witness_key
        assert key is not None
        async with log.database() as connection:
            stored = await checkpoints.newest(connection, cosigned=True)
        assert stored is not None
        assert stored.cosigned is not None
        checkpoint, note = open_checkpoint(stored.cosigned, log.key.verification)
        assert checkpoint.size == 61
        assert require_cosignature(note, key) > 0
    await execute(log.database_url, "DELETE FROM audit_leaf; DELETE FROM audit_node; DELETE FROM audit_checkpoint;")
    await execute(log.database_url, "DELETE FROM audit_position")
    other = EventWriter()
    forked = [message_of(other.event(7, payload='{"total": 8}'), number) for number in range(70)]
    async with witness(command_of(log, tmp_path)) as (process, client):
        assert (tmp_path / "leaves").stat().st_size == 61 * 32
        await log.refill(forked[:40])
        async with log.writing():
            await log.until_signed(41)
        await refused(log, client, "the witness has signed 61 leaves, and this log has 41")
        await log.publish(forked[40:])
        async with log.writing():
            await log.until_signed(71)
        await refused(log, client, "the log has forked")
        assert len(list((tmp_path / "refused").iterdir())) == 1 + 1
        assert process.events("the log contradicts itself")
        assert await process.end(signal.SIGTERM) == 0


async def set_back(log: AuditWorld, size: int, position: list[tuple[object, ...]]) -> None:
    """A restore of the log's database: it is as it was when it had so many leaves."""
    await execute(log.database_url, f"DELETE FROM audit_leaf WHERE leaf_index >= {size}")
    await execute(log.database_url, f"DELETE FROM audit_checkpoint WHERE size > {size}")
    await execute(log.database_url, f"UPDATE audit_position SET sequence = {position[0][0]}")


async def refused(log: AuditWorld, client: WitnessClient, reason: str) -> None:
    """The witness does not sign, and says why."""
    with pytest.raises(WitnessRefuses, match=reason):
        await brought(log, client)
