"""Helps to test a relay that reads the write-ahead log: its mode, its slots, and an administrator who drops them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from tests.support.chance import new_seed, tell
from tests.support.relay.relay_process import RelayProcess
from tests.support.relay.world import World
from tests.support.relay.writers import Ledger, Writers
from tests.support.waiting import eventually

#: Seconds; a slot is slow to create while writers keep transactions open.
LOG_SECONDS = 120.0
#: The relay logs this when the stream refuses a duplicate. In these tests the relay itself must avoid duplicates.
KNOWN = "the server knows the id of message"
#: A prelude: the only checkpoint is that of the slot, so each session makes one barrier, and only events follow it.
NO_CHECKPOINTS = """
import relay.publishing.session as session, relay.wal.reader as reader
async def silent(self):
    self._emit_due = float("inf")
session.RENEWAL_SECONDS, reader.WalReader._emit = 3_600, silent
"""


async def in_mode(relay: RelayProcess, mode: str, reason: str = "", seconds: float = LOG_SECONDS) -> dict[str, Any]:
    """Waits until the relay publishes in `mode`, with `reason` in its reason; returns its page."""
    deadline = time.monotonic() + seconds
    while True:
        assert relay.returncode is None, relay.text
        try:
            page = await relay.page()
        except ConnectionError:
            raise AssertionError(f"ended with {await relay.ended()}\n{relay.text}") from None
        if page["state"] == "PUBLISHING" and page["mode"] == mode and reason in (page["mode_reason"] or ""):
            return page
        assert time.monotonic() < deadline, f"{page}\n{relay.text}"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def admin(world: World) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        yield connection


async def slots(world: World) -> list[str]:
    async with admin(world) as connection:
        rows = await connection.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        )
        return [name for (name,) in await rows.fetchall()]


async def dropped(world: World, name: str, seconds: float = LOG_SECONDS) -> None:
    """Waits until the slot is gone: the relay drops slots of earlier runs in the background."""
    deadline = time.monotonic() + seconds
    while name in await slots(world):
        assert time.monotonic() < deadline, f"slot {name} is still there"
        await asyncio.sleep(0.05)


async def nobody_reads(world: World) -> None:
    """Waits until no slot is in use: the server releases one a little after its reader has ended."""
    deadline = time.monotonic() + LOG_SECONDS
    async with admin(world) as connection:
        while (
            await connection.execute(
                "SELECT FROM pg_replication_slots WHERE database = current_database() AND active_pid IS NOT NULL"
            )
        ).rowcount:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def under_writers(world: World, least: int = 100, **options: Any) -> AsyncIterator[Ledger]:
    """Runs writers within the block, and longer until they have committed `least` events; fewer prove nothing."""
    seed = new_seed()
    async with Writers(world.database_url, seed=seed, **{"pause": 0.01, **options}).writing() as ledger:
        yield ledger
        await more_committed(ledger, least - len(ledger.committed))


async def more_committed(ledger: Ledger, events: int) -> None:
    """Waits until writers have committed `events` more events."""
    wanted = len(ledger.committed) + events
    await eventually(lambda: len(ledger.committed) >= wanted, f"{wanted} events are committed", LOG_SECONDS)


async def judged(world: World, relay: RelayProcess, ledger: Ledger) -> None:
    """Asserts that everything committed is in the stream, once and in order."""
    await world.drained(relay)
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, f"{verdict}\n{relay.text}"
    assert verdict.delivered > 50
    assert KNOWN not in relay.text


async def drop_slot(world: World) -> None:
    """Drops a slot in use, as an administrator does."""
    async with admin(world) as connection:
        for name in await slots(world):
            for _ in range(100):
                await connection.execute(
                    "SELECT pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE slot_name = %s",
                    [name],
                )
                try:
                    await connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
                except psycopg.errors.ObjectInUse:
                    continue
                except psycopg.errors.UndefinedObject:
                    pass
                break
