"""The log as roles, servers and administrators leave it: replicas, invalidated slots, standbys, old versions."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from psycopg import sql

from tests.fixtures.private_servers import PrivatePostgres
from tests.support.chance import tell
from tests.support.relay.log_mode import admin, drop_slot, dropped, in_mode, judged, slots, under_writers
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


async def test_a_slot_is_dropped_when_polling_is_chosen(world: World) -> None:
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        await relay.kill()
    [name] = await slots(world)
    await world.insert(10)
    async with running(world.relay(mode="poll")) as relay:
        await world.drained(relay)
        await dropped(world, name)
        assert await slots(world) == []
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 20


async def test_a_role_without_replication(world: World) -> None:
    """Polls and says what would help; reads the log once it may."""
    role = f"tandem_test_{secrets.token_hex(4)}"
    async with admin(world) as connection:
        await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        await connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(role)))
        await connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(role)))
        await connection.execute(
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role))
        )
        await connection.execute(
            "CREATE PUBLICATION tandem_outbox FOR TABLE outbox"
            " WITH (publish = 'insert', publish_via_partition_root = true)"
        )
    parts = urlsplit(world.database_url)
    url = urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))
    try:
        async with running(world.relay(database_url=url)) as relay:
            await in_mode(relay, "poll", f"ALTER ROLE {role} REPLICATION")
            await world.insert(20)
            await world.drained(relay)
            async with admin(world) as connection:
                await connection.execute(sql.SQL("ALTER ROLE {} REPLICATION").format(sql.Identifier(role)))
            await in_mode(relay, "wal")
            await world.insert(20)
            await world.drained(relay)
        refused = world.relay(database_url=url, mode="wal")
        async with admin(world) as connection:
            await connection.execute(sql.SQL("ALTER ROLE {} NOREPLICATION").format(sql.Identifier(role)))
        await refused.start()
        assert await refused.ended() == 2
        assert f"role {role} lacks REPLICATION; let its owner run: ALTER ROLE {role} REPLICATION" in refused.text
    finally:
        async with admin(world) as connection:
            await drop_slot(world)
            await connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
            await connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 40


@pytest.fixture
async def private_world(nats_url: str, stream_name: str, subject_prefix: str, private_postgres: PrivatePostgres) -> Any:
    """A world on a Postgres of its own: `await private_world(settings=…, binaries=…)`."""

    async def make(*, settings: Mapping[str, str] | None = None, binaries: Path | None = None) -> World:
        server = await private_postgres(settings=settings, binaries=binaries)
        return await World.make(await server.ensure_database("relayed"), nats_url, stream_name, subject_prefix)

    return make


async def test_wal_level_replica(private_world: Any) -> None:
    world = await private_world(settings={"wal_level": "replica"})
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "poll", "wal_level is replica")
        await judged(world, relay, ledger)


async def test_an_invalidated_slot(private_world: Any) -> None:
    """`max_slot_wal_keep_size`: the server gives up the slot of a relay that was away for too long."""
    world = await private_world(
        settings={"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    )
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        assert await relay.stop() == 0
    [name] = await slots(world)
    async with admin(world) as connection:
        await world.insert(100)
        await connection.execute("CREATE TABLE filler (x text)")
        for _ in range(60):
            await connection.execute("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
            await connection.execute("SELECT pg_switch_wal()")
            await connection.execute("CHECKPOINT")
            row = await (
                await connection.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [name])
            ).fetchone()
            if row == ("lost",):
                break
        assert row == ("lost",)
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "wal")
        assert "invalidated" in relay.text
        await world.drained(relay)
        assert name not in await slots(world)
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 110 + len(ledger.committed)


async def until_sessions_begin_with(world: World, setting: str, value: str) -> None:
    """The server reads its settings anew when it comes to it."""
    deadline = time.monotonic() + 120
    while True:
        async with admin(world) as connection:
            row = await (await connection.execute("SELECT current_setting(%s)", [setting])).fetchone()
        if row == (value,):
            return
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.01)


async def test_synchronous_standbys_must_be_waited_for(private_world: Any) -> None:
    """The log tells of commits that a standby does not have yet: polls and says what to set."""
    world = await private_world(settings={"synchronous_standby_names": "", "synchronous_commit": "on"})
    async with admin(world) as connection:
        await connection.execute("ALTER DATABASE relayed SET synchronous_commit = 'local'")
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await connection.execute("SELECT pg_reload_conf()")
    await until_sessions_begin_with(world, "synchronous_standby_names", "nobody")
    async with running(world.relay()) as relay:
        await in_mode(relay, "poll", "synchronized_standby_slots is empty")
        await world.insert(10)
        await world.drained(relay)


@pytest.mark.skipif(not (DEBIAN_15 / "postgres").exists(), reason=f"no Postgres 15 in {DEBIAN_15}")
async def test_postgres_15(private_world: Any) -> None:
    world = await private_world(binaries=DEBIAN_15)
    async with running(world.relay()) as relay, under_writers(world, prepare=True) as ledger:
        await in_mode(relay, "wal")
        await drop_slot(world)
        await asyncio.sleep(0.5)
        await in_mode(relay, "wal")
        await relay.kill()
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await judged(world, relay, ledger)


async def retained(world: World) -> int:
    """Bytes of log that the relay's slot keeps."""
    async with admin(world) as connection:
        row = await (
            await connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) FROM pg_replication_slots"
                " WHERE database = current_database()"
            )
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_an_idle_outbox_holds_no_log_back(world: World) -> None:
    """Writes to other tables and other databases only: the slot moves on with them."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        async with admin(world) as connection:
            await connection.execute("CREATE TABLE elsewhere (x text)")
            written = 0
            for _ in range(4):
                row = await (await connection.execute("SELECT pg_current_wal_lsn()")).fetchone()
                assert row is not None
                for _ in range(10):
                    await connection.execute(
                        "INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 1000)"
                    )
                    written += 1_000_000
                deadline = time.monotonic() + 120
                while True:
                    passed = await (
                        await connection.execute(
                            "SELECT confirmed_flush_lsn > %s FROM pg_replication_slots"
                            " WHERE database = current_database()",
                            [row[0]],
                        )
                    ).fetchone()
                    if passed == (True,) and await retained(world) < 2_000_000:
                        break
                    assert time.monotonic() < deadline, f"{await retained(world)} bytes kept\n{relay.text}"
                    await asyncio.sleep(0.1)
        assert written > 30_000_000


def peak_kib(relay: RelayProcess) -> int:
    """The most memory the process has had."""
    status = Path(f"/proc/{relay.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_a_huge_transaction_in_bounded_memory(world: World, rows: int) -> None:
    """Carried as it arrives, killed in its middle, and whole in the end."""
    world.settings["RELAY_STREAM_MAX_BYTES"] = str(4 << 30)
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        usual = peak_kib(relay)
        task = asyncio.create_task(world.insert(rows))
        deadline = time.monotonic() + 300
        while len_of(await relay.page()) < rows // 3:
            assert time.monotonic() < deadline, relay.text
            await asyncio.sleep(0.02)
        await relay.kill()
        await task
    async with running(world.relay()) as relay:
        await world.drained(relay, 600)
        peak = peak_kib(relay)
        tell(f"{rows} rows: {usual} KiB before, {peak} KiB at most")
        assert (await relay.page())["mode"] == "wal"
        assert peak < usual + 96 * 1024
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == rows + 10


def len_of(page: dict[str, Any]) -> int:
    """Messages in the stream."""
    return int(page["stream_sequence"] or 0)
