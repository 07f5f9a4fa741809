"""A leader that waits for NATS keeps its lock: its database session never falls silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

import relay.outbox.leadership
from relay.events.errors import LeadershipLost, SessionClosed
from relay.outbox.leadership import AdvisoryLock, HeldLock, while_leading
from tests.support.relay.sinks import plan_for, sink_on


@contextlib.asynccontextmanager
async def silent_nats() -> AsyncIterator[str]:
    """Takes connections and says nothing; its URL."""
    silence = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silence.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        silence.set()
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def leading(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HeldLock[None]]:
    """A leader whose database ends a session after two seconds of silence, less than NATS is waited for."""
    monkeypatch.setattr(relay.outbox.leadership, "SESSION_TIMEOUT_SECONDS", 2)
    monkeypatch.setattr(relay.outbox.leadership, "TOUCH_SECONDS", 0.2)

    async def check(_: object) -> None:
        """Any database will do."""

    lock = AdvisoryLock(database_url, table="outbox", stream="WAITING", check=check)
    async with lock.lead(asyncio.Event()) as leader:
        assert leader is not None
        yield leader


async def test_a_leader_that_waits_for_nats_keeps_its_lock(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with silent_nats() as url, leading(postgres_database, monkeypatch) as leader:
        with pytest.raises(SessionClosed, match="NATS cannot be reached"):
            async with contextlib.AsyncExitStack() as ends:
                await while_leading(leader, ends.enter_async_context(sink_on(url, plan_for("S", "s")).session()))
        await leader.prove()


@pytest.mark.mutant
async def test_mutant_that_only_waits_loses_its_lock(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with silent_nats() as url, leading(postgres_database, monkeypatch) as leader:
        with pytest.raises(SessionClosed, match="NATS cannot be reached"):
            async with sink_on(url, plan_for("S", "s")).session():
                pass
        with pytest.raises(LeadershipLost):
            await leader.prove()


async def test_work_ends_when_the_lock_is_lost(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its own error is never left behind in a task that nobody asks."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with leading(postgres_database, monkeypatch) as leader:
        await leader.connection.close()
        with pytest.raises(LeadershipLost):
            await while_leading(leader, work())
    assert ended.is_set()
