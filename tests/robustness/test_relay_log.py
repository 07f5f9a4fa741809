"""The relay where the log cannot be read: polls at once, returns to the log, each event once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.fixtures.private_servers import PrivatePostgres
from tests.relaying.chance import new_seed, tell
from tests.relaying.relay_process import RelayProcess, running
from tests.relaying.world import World
from tests.relaying.writers import Ledger, Writers

#: With writers that hold transactions open, a slot takes its time.
LOG_SECONDS = 45.0
#: What the relay says when the stream refuses what it has already: here the relay itself must know.
KNOWN = "the server knows the id of message"
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


async def in_mode(relay: RelayProcess, mode: str, reason: str = "", seconds: float = LOG_SECONDS) -> dict[str, Any]:
    """Waits until the relay publishes in that mode, for a reason that has this text in it; its page."""
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


@contextlib.asynccontextmanager
async def under_writers(world: World, **options: Any) -> AsyncIterator[Ledger]:
    seed = new_seed()
    async with Writers(world.database_url, seed=seed, **{"pause": 0.01, **options}).writing() as ledger:
        yield ledger


async def judged(world: World, relay: RelayProcess, ledger: Ledger) -> None:
    """Everything committed is in the stream, once and in order."""
    await world.drained(relay)
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, f"{verdict}\n{relay.text}"
    assert verdict.delivered > 50
    assert KNOWN not in relay.text


async def drop_slot(world: World) -> None:
    """As an administrator drops a slot in use."""
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


async def test_goes_over_to_the_log_and_survives_ends(world: World) -> None:
    """A backlog is polled, then the log is read; killed and stopped at random, over and over."""
    chance = random.Random(new_seed())
    await world.insert(3_000)
    already = await world.committed()
    async with under_writers(world, prepare=True) as ledger:
        for _ in range(6):
            async with running(world.relay()) as relay:
                if chance.random() < 0.7:
                    await in_mode(relay, "wal")
                await asyncio.sleep(chance.random())
                if chance.random() < 0.3:
                    assert await relay.stop() == 0, relay.text
                else:
                    await relay.kill()
    ledger.committed |= already
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await judged(world, relay, ledger)
        assert len(await slots(world)) == 1
        assert 'relay_mode{mode="wal"} 1.0' in await relay.get("/metrics")


async def test_a_slot_dropped_while_a_transaction_stays_open(world: World) -> None:
    async with running(world.relay()) as relay, under_writers(world) as ledger:
        await in_mode(relay, "wal")
        async with await psycopg.AsyncConnection.connect(world.database_url) as foreign:
            await foreign.execute("CREATE TABLE elsewhere ()")
            await drop_slot(world)
            await in_mode(relay, "poll")
            before = len(await world.events())
            deadline = time.monotonic() + 20
            while len(await world.events()) < before + 100:
                assert time.monotonic() < deadline, relay.text
                await asyncio.sleep(0.1)
            # no slot can be finished while that transaction is open
            assert (await relay.page())["mode"] == "poll"
            await foreign.rollback()
        await in_mode(relay, "wal")
        await asyncio.sleep(0.5)
    # the relay has ended by a kill; what it left is taken up
    async with running(world.relay()) as relay:
        await judged(world, relay, ledger)


async def test_slots_dropped_again_and_again(world: World) -> None:
    chance = random.Random(new_seed())
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            for _ in range(4):
                await in_mode(relay, "wal")
                await asyncio.sleep(chance.random() * 1.5)
                await drop_slot(world)
                await asyncio.sleep(chance.random() * 0.3)
        await judged(world, relay, ledger)


async def test_a_slot_dropped_while_the_snapshot_is_long(world: World) -> None:
    """With many transactions open the checkpoint stands once, in a barrier; the poll finds what came behind it."""
    async with running(world.relay()) as relay:
        async with under_writers(world, pause=0.02) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                for number in range(80):
                    await connection.execute("BEGIN")
                    await connection.execute("INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (%s, 1)",
                                             [uuid.UUID(int=number)])  # fmt: skip
                    await connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(f"{world.stream}-{number}"))
                deadline = time.monotonic() + 20
                while ";wal;@" not in (await world.messages())[-1].headers["Tandem-Cursor"]:
                    assert time.monotonic() < deadline, relay.text
                    await asyncio.sleep(0.05)
                await drop_slot(world)
                await in_mode(relay, "poll")
                await asyncio.sleep(0.5)
                await relay.kill()
                async with running(world.relay()) as second:
                    await in_mode(second, "poll")
                    await asyncio.sleep(0.5)
                    for number in range(80):
                        await connection.execute(sql.SQL("COMMIT PREPARED {}").format(f"{world.stream}-{number}"))
                        ledger.committed.add((str(uuid.UUID(int=number)), 1))
                    await in_mode(second, "wal")
                    assert KNOWN not in second.text
        assert KNOWN not in relay.text
    async with running(world.relay()) as relay:
        await judged(world, relay, ledger)


async def test_a_slot_ahead_of_the_stream(world: World) -> None:
    """Somebody moves the slot on while the relay is away: the server would pass over the gap without a word."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        assert await relay.stop() == 0
    await world.insert(200)
    async with admin(world) as connection:
        [name] = await slots(world)
        await connection.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [name])
    await world.insert(10)
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.drained(relay)
        assert "ahead of the stream" in relay.text
        assert name not in await slots(world)
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 220


async def test_a_slot_in_use(world: World) -> None:
    """Somebody else reads our slot: polls, with a slot of its own later; the other one is dropped once it is free."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        await relay.stop()
    await world.insert(50)
    [name] = await slots(world)
    stranger = await psycopg.AsyncConnection.connect(world.database_url, autocommit=True, replication="database")
    try:
        await stranger.execute(
            sql.SQL(
                "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names 'tandem_outbox')"
            ).format(sql.Identifier(name))
        )
        async with running(world.relay()) as relay:
            await in_mode(relay, "wal")
            assert "is in use by process" in relay.text
            await world.drained(relay)
            assert name in await slots(world)
    finally:
        await stranger.close()
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        verdict = await world.verdict()
        assert verdict.clean, verdict


#: Dies when a slot is made and the log is about to be read.
DIE_AT_HAND_OVER = """
import os, signal
from relay.switching_source import SwitchingSource
async def die(self, made):
    os.kill(os.getpid(), signal.SIGKILL)
SwitchingSource._hand_over = die
"""
#: Dies after the log has been opened and before a message with its cursor is sent.
DIE_AFTER_HAND_OVER = """
import os, signal
from relay.switching_source import SwitchingSource
real = SwitchingSource._hand_over
async def die(self, made):
    if await real(self, made) is not None:
        os.kill(os.getpid(), signal.SIGKILL)
SwitchingSource._hand_over = die
"""


@pytest.mark.parametrize("prelude", [DIE_AT_HAND_OVER, DIE_AFTER_HAND_OVER])
async def test_killed_around_the_hand_over(world: World, prelude: str) -> None:
    left = []
    async with under_writers(world) as ledger:
        for _ in range(2):
            async with running(world.relay(prelude=prelude)) as relay:
                await relay.ended(LOG_SECONDS)
            left += await slots(world)
        assert len(left) == 2
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await judged(world, relay, ledger)
        assert not set(await slots(world)) & set(left)


@pytest.mark.parametrize(
    "change",
    [
        "DROP PUBLICATION tandem_outbox",
        "ALTER PUBLICATION tandem_outbox SET TABLE aggregate",
        "ALTER PUBLICATION tandem_outbox SET (publish = 'delete')",
    ],
)
async def test_a_publication_changed_and_changed_back(world: World, change: str) -> None:
    """The server leaves rows out without a word; whatever it left out comes by polling."""
    async with running(world.relay()) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                await connection.execute(change)
                await asyncio.sleep(0.3)
                await connection.execute("DROP PUBLICATION IF EXISTS tandem_outbox")
            await asyncio.sleep(1.5)
            await in_mode(relay, "wal")
        await judged(world, relay, ledger)


#: Mutant: the state of the publication is taken for unchanged.
BLIND_TO_THE_PUBLICATION = """
import relay.wal_source as w, relay.publication as p
w._EMIT = w._EMIT.replace(p.STATE, "'unchanged'")
async def unchanged(connection, name):
    return "unchanged"
w.publication_state = unchanged
import relay.slot_creation as s
real = s.ensure_publication
async def ensured(*arguments):
    await real(*arguments)
    return "unchanged"
s.ensure_publication = ensured
"""


async def test_mutant_blind_to_the_publication_loses_events(world: World) -> None:
    async with running(world.relay(prelude=BLIND_TO_THE_PUBLICATION)) as relay:
        async with under_writers(world) as ledger:
            await in_mode(relay, "wal")
            async with admin(world) as connection:
                await connection.execute("ALTER PUBLICATION tandem_outbox SET (publish = 'delete')")
                await asyncio.sleep(0.5)
                await connection.execute("ALTER PUBLICATION tandem_outbox SET (publish = 'insert')")
            await asyncio.sleep(0.5)
        await world.drained(relay)
    assert (await world.verdict(ledger)).lost > 0


#: Mutant: a poll that takes over from the log passes over nothing.
PASSES_OVER_NOTHING = """
from relay.delivered import Delivered
Delivered.holds = lambda self, event: False
"""
#: Mutant: a poll that has gone beyond the new slot's beginning does not say so.
LISTS_NOTHING_BETWEEN = """
from relay.poll_source import PollSource
async def nothing(self, seen, upto, limit):
    return []
PollSource.transactions_between = nothing
PollSource.end_at = lambda self, snapshot: None
"""


@pytest.mark.parametrize("prelude", [PASSES_OVER_NOTHING, LISTS_NOTHING_BETWEEN])
async def test_mutant_taking_over_carelessly_sends_events_again(world: World, prelude: str) -> None:
    """Only the stream's memory for ids, a minute long, stands between this and repeated events."""
    async with running(world.relay(prelude=prelude)) as relay, under_writers(world, pause=0.0):
        deadline = time.monotonic() + 60
        while KNOWN not in relay.text:
            assert time.monotonic() < deadline
            if (await relay.page())["mode"] == "wal":
                await asyncio.sleep(1)
                await drop_slot(world)
            await asyncio.sleep(0.1)


async def test_a_slot_is_dropped_when_polling_is_chosen(world: World) -> None:
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await world.drained(relay)
        await relay.kill()
    assert len(await slots(world)) == 1
    await world.insert(10)
    async with running(world.relay(mode="poll")) as relay:
        await world.drained(relay)
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
            await in_mode(relay, "poll", f'ALTER ROLE "{role}" REPLICATION')
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
        assert "RELAY_MODE is wal, but the log cannot be read: role" in refused.text
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
            await asyncio.sleep(1)
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


async def test_synchronous_standbys_must_be_waited_for(private_world: Any) -> None:
    """The log tells of commits that a standby does not have yet: polls and says what to set."""
    world = await private_world(settings={"synchronous_standby_names": "", "synchronous_commit": "on"})
    async with admin(world) as connection:
        await connection.execute("ALTER DATABASE relayed SET synchronous_commit = 'local'")
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await connection.execute("SELECT pg_reload_conf()")
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
                deadline = time.monotonic() + 15
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
@pytest.mark.parametrize("rows", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_a_huge_transaction_in_bounded_memory(world: World, rows: int) -> None:
    """Carried as it arrives, killed in its middle, and whole in the end."""
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
