"""A notary with AUDIT_WITNESS_URL beside its witness, both assembled as in their processes: outage and fork."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from audit import bootstrap
from audit.config import AuditSettings
from audit.notary import witnessing
from audit.notes.checkpoint import Checkpoint, open_checkpoint
from audit.notes.cosignature import require_cosignature
from audit.notes.key_files import ensure_signing_key
from audit.notes.keys import Kind
from audit.storage import checkpoints
from audit.tree.hashing import HASH_BYTES
from devstack.servers.ports import HOST, free_port
from tests.fixtures.write_model import execute
from tests.integration.audit.test_notary import history
from tests.support.audit_events import EventWriter, message_of
from tests.support.audit_world import AuditWorld
from tests.support.waiting import eventually

FORGET_THE_LOG = (
    "DELETE FROM audit_checkpoint; DELETE FROM audit_node; DELETE FROM audit_leaf; DELETE FROM audit_position"
)
WITNESS_NAME = "example.com/witness"


class Pair:
    """A notary and its witness, which keep their settings, so that each comes back where it was."""

    def __init__(self, log: AuditWorld, directory: Path) -> None:
        self.log, self.memory = log, directory / "witness"
        witness_listen, self._probes, witness_probes = (f"{HOST}:{free_port()}" for _ in range(3))
        self.witness_key = ensure_signing_key(self.memory / "key", WITNESS_NAME, Kind.COSIGNATURE).verification
        notary: dict[str, Any] = {
            "database_url": log.database_url,
            "nats_url": log.nats_url,
            "stream": log.stream,
            "origin": log.key.name,
            "key": log.key.text,
            "witness_url": f"http://{witness_listen}",
            "witness_key": self.witness_key.text,
            "checkpoint_seconds": 1,
            "linger_seconds": 0,
            "probes_listen": self._probes,
        }
        witness: dict[str, Any] = {
            "witness_directory": self.memory,
            "witness_name": WITNESS_NAME,
            "witness_listen": witness_listen,
            "log_key": log.key.verification.text,
            "probes_listen": witness_probes,
        }
        self._notary, self._witness = AuditSettings(**notary), AuditSettings(**witness)

    @asynccontextmanager
    async def notary(self) -> AsyncIterator[None]:
        """Runs the notary within the block."""
        async with _running(lambda stop: bootstrap.notary(self._notary, stop)):
            yield

    @asynccontextmanager
    async def witness(self) -> AsyncIterator[None]:
        """Runs the witness within the block."""
        async with _running(lambda stop: bootstrap.witness(self._witness, stop)):
            yield

    async def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the notary's probes; status 0 while it does not listen."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://{self._probes}{path}") as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def until_told(self, path: str, status: int, line: str) -> None:
        """Waits until a page of the notary's probes has this status and this line."""
        async with asyncio.timeout(120):
            while (told := await self.page(path))[0] != status or line not in told[1].splitlines():
                await asyncio.sleep(0.02)

    def known_leaves(self) -> int:
        """How many leaves the witness has."""
        file = self.memory / "leaves"
        return file.stat().st_size // HASH_BYTES if file.exists() else 0

    async def cosigned(self) -> Checkpoint | None:
        """The newest checkpoint with the witness's signature, which is verified; None before the first."""
        async with self.log.database() as connection:
            stored = await checkpoints.newest(connection, cosigned=True)
        if stored is None:
            return None
        assert stored.cosigned is not None
        checkpoint, note = open_checkpoint(stored.cosigned, self.log.key.verification)
        assert require_cosignature(note, self.witness_key) > 0
        return checkpoint


@asynccontextmanager
async def _running(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest_asyncio.fixture(loop_scope="session")
async def pair(
    postgres_database: str,
    nats_url: str,
    stream_name: str,
    subject_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Pair:
    """An empty log with an empty stream, and a witness that knows nothing. The notary looks often for new notes."""
    monkeypatch.setattr(witnessing, "LOOK_SECONDS", 0.05)
    return Pair(await AuditWorld.make(postgres_database, nats_url, stream_name, subject_prefix), tmp_path)


async def test_a_witness_gets_every_note_also_after_an_outage_and_refuses_a_fork(pair: Pair) -> None:
    log, messages = pair.log, history(10, 2)
    await log.publish(messages[:10])
    async with pair.notary():
        async with pair.witness():
            await pair.until_told("/metrics", 200, "audit_cosigned_size 11.0")
            assert pair.known_leaves() == 11
        with capture_logs() as lines:
            await log.publish(messages[10:])
            signed = await log.until_signed(21)
            await eventually(lambda: any(one["event"] == "witness unavailable" for one in lines), "it asks in vain")
        before = await pair.cosigned()
        assert before is not None
        assert (before.size, await pair.page("/readyz")) == (11, (200, "ok\n"))
        async with pair.witness():
            await pair.until_told("/metrics", 200, "audit_cosigned_size 21.0")
            assert await pair.cosigned() == signed
            assert pair.known_leaves() == 21
    await a_fork_is_refused_and_told(pair)


async def a_fork_is_refused_and_told(pair: Pair) -> None:
    """Somebody writes another history in stream and log, and the notary signs it."""
    other = EventWriter()
    await execute(pair.log.database_url, FORGET_THE_LOG)
    await pair.log.refill(message_of(other.event(7, payload='{"total": 8}'), number) for number in range(40))
    async with pair.witness(), pair.notary():
        reason = "the log has forked: its 41 leaves do not begin with the 21 that were signed"
        await pair.until_told("/readyz", 503, f"the witness answers 422: {reason}")
        assert "audit_witness_refuses 1.0\n" in (await pair.page("/metrics"))[1]
        assert (await pair.log.signed()).size == 41
        assert await pair.cosigned() is None
    assert any("\n41\n" in kept.read_text() for kept in (pair.memory / "refused").iterdir())
