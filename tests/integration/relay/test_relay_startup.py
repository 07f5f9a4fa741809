"""What a relay refuses to run on, each by its name in one sentence with what to do, and nothing is published."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from relay.bootstrap import Relay
from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.outbox.startup_checks import check_database
from relay.preflight import Preflight, preflight
from service_runtime.config import load_settings
from service_runtime.process import StartupRefused
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.chance import new_seed
from tests.support.relay import streams
from tests.support.relay.log_mode import more_committed
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

SECONDS = 120.0


def configured(world: World, monkeypatch: pytest.MonkeyPatch, overrides: Mapping[str, str]) -> Relay:
    for name, value in {**world.settings, "RELAY_PROBES_LISTEN": "127.0.0.1:0", **overrides}.items():
        monkeypatch.setenv(name, value)
    return Relay(load_settings(RelaySettings))


async def refusal(world: World, monkeypatch: pytest.MonkeyPatch, **overrides: str) -> str:
    """The sentence with which a relay refuses to start."""
    relay = configured(world, monkeypatch, {f"RELAY_{k.upper()}": v for k, v in overrides.items()})
    with pytest.raises(StartupRefused) as refused:
        await asyncio.wait_for(relay.run(asyncio.Event()), SECONDS)
    messages, _ = await streams.state(world.nats_url, overrides.get("stream", world.stream))
    assert messages == 0
    return str(refused.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("DROP TABLE outbox", "table outbox does not exist"),
        ("ALTER TABLE outbox DROP COLUMN aggregate_id", "no column 'aggregate_id': set RELAY_COLUMN_AGGREGATE_ID"),
        ("ALTER TABLE outbox DROP COLUMN transaction_id", 'ADD COLUMN "transaction_id" xid8 NOT NULL DEFAULT'),
        (
            "ALTER TABLE outbox ALTER COLUMN recorded_at DROP DEFAULT,"
            " ALTER COLUMN recorded_at TYPE text USING recorded_at::text",
            "is text, but recorded_at must be timestamp",
        ),
        ("DROP INDEX outbox_transaction_id_idx", 'CREATE INDEX ON "outbox" ("transaction_id")'),
        ("ALTER TABLE outbox ALTER COLUMN position SET CACHE 32", "has CACHE 32"),
        ("ALTER DATABASE {database} SET synchronous_commit = off", "synchronous_commit is off"),
    ],
)
async def test_databases(world: World, monkeypatch: pytest.MonkeyPatch, change: str, sentence: str) -> None:
    database = world.database_url.rpartition("/")[2]
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        if "CACHE" in change:
            change = (
                "DO $$ BEGIN EXECUTE 'ALTER SEQUENCE ' || pg_get_serial_sequence('outbox', 'position')"
                " || ' CACHE 32'; END $$"
            )
        await connection.execute(change.replace("{database}", f'"{database}"'))
    assert sentence in await refusal(world, monkeypatch)


async def test_a_column_that_is_named_must_be_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no column 'pii': set RELAY_COLUMN_PERSONAL" in await refusal(world, monkeypatch, column_personal="pii")


async def test_another_role_that_commits_without_waiting_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay's own session is durable here; a writer's would not be."""
    database = world.database_url.rpartition("/")[2]
    role = f"hasty_{world.prefix}"
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(f'CREATE ROLE "{role}"')
        try:
            await connection.execute(f'ALTER ROLE "{role}" IN DATABASE "{database}" SET synchronous_commit = off')
            sentence = await refusal(world, monkeypatch)
        finally:
            await connection.execute(f'DROP ROLE "{role}"')
    assert f"synchronous_commit is off for role {role} in database {database}" in sentence


@pytest.mark.parametrize("value", ["off", "false", "no", "0", "'OFF'"])
async def test_every_way_to_switch_it_off_is_known(world: World, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    database = world.database_url.rpartition("/")[2]
    role = f"hasty_{world.prefix}"
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(f'CREATE ROLE "{role}"')
        try:
            await connection.execute(f'ALTER ROLE "{role}" IN DATABASE "{database}" SET synchronous_commit = {value}')
            assert "synchronous_commit is off" in await refusal(world, monkeypatch)
        finally:
            await connection.execute(f'DROP ROLE "{role}"')


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit"])
async def test_servers_that_may_forget(
    private_postgres: PrivatePostgres,
    nats_url: str,
    stream_name: str,
    subject_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    server = await private_postgres(settings={setting: "off"})
    world = await World.make(await server.ensure_database("shop"), nats_url, stream_name, subject_prefix)
    sentence = await refusal(world, monkeypatch)
    assert f"{setting} is off" in sentence
    assert f"set {setting} = on" in sentence


async def test_a_standby(
    private_postgres: PrivatePostgres, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    """It may be promoted, so the relay does not give up: it stays, says why, and publishes once it is a primary."""
    server = await private_postgres()
    world = await World.make(await server.ensure_database("shop"), nats_url, stream_name, subject_prefix)
    await world.insert(3)
    await server.stop()
    (server.data / "standby.signal").touch()
    await server.start()
    async with running(world.relay()) as relay:
        page = await relay.wait_for_state("SOURCE_IS_STANDBY")
        assert "standby" in page["last_error"]
        assert "SOURCE_IS_STANDBY" in await relay.get("/readyz")
        assert (await streams.state(nats_url, stream_name))[0] == 0
        async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
            await connection.execute("SELECT pg_promote()")
        await world.drained(relay)
    assert len(await world.events()) == 3


async def test_a_database_that_is_not_the_recorded_one(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE source (epoch bigint, system_identifier text, timeline int)")
        await connection.execute("INSERT INTO source SELECT 1, system_identifier::text, 1000 FROM pg_control_system()")
        await world.insert(3)
        async with running(world.relay()) as relay:
            page = await relay.wait_for_state("SOURCE_CHANGED")
            assert "timeline 1000" in page["last_error"]
            assert "adopt" in page["last_error"]
            assert (await streams.state(world.nats_url, world.stream))[0] == 0
            await connection.execute("UPDATE source SET timeline = 1")
            await world.drained(relay)
            assert (await relay.page())["source_epoch"] == 1
        # the stream's events are of epoch 1, the database goes on as epoch 2
        await connection.execute("UPDATE source SET epoch = 2")
        before = (await streams.state(world.nats_url, world.stream))[1]
        async with running(world.relay()) as relay:
            page = await relay.wait_for_state("SOURCE_CHANGED")
            assert "source epoch 1" in page["last_error"]
        assert (await streams.state(world.nats_url, world.stream))[1] == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"storage": "memory"}, "storage file"),
        ({"discard": "old"}, "discard new"),
        ({"allow_atomic": False}, "allow_atomic true"),
        ({"deny_delete": False}, "deny_delete true"),
        ({"deny_purge": False}, "deny_purge true"),
        ({"retention": "interest"}, "retention limits"),
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject"),
        ({"subjects": ["{prefix}.barrier", "{prefix}.*.ORDER_CREATED"]}, "does not take subject"),
    ],
)
async def test_streams(world: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str) -> None:
    config: dict[str, Any] = {
        "subjects": [f"{world.prefix}.>"],
        "storage": "file",
        "discard": "new",
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
    } | change
    config["subjects"] = [subject.replace("{prefix}", world.prefix) for subject in config["subjects"]]
    await streams.create_stream(world.nats_url, name=world.stream, **config)
    sentence = await refusal(world, monkeypatch)
    assert sentence.startswith(f"stream {world.stream} ")
    assert named in sentence


async def test_a_missing_stream_that_is_not_ours_to_create(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = await refusal(world, monkeypatch, create_stream="false")
    assert sentence == f"stream {world.stream} does not exist: create it, or set RELAY_CREATE_STREAM=true"


@contextlib.asynccontextmanager
async def old_nats(version: str) -> AsyncIterator[str]:
    """A server that greets with that version and answers pings: all that is asked of it. No such binary is at hand."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "X", "version": version, "headers": True, "max_payload": 1 << 20, "proto": 1}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_nats_server_that_is_too_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with old_nats("2.11.9") as url:
        assert "version 2.11.9, too old: install 2.12.1 or later" in await refusal(world, monkeypatch, nats_url=url)


async def test_a_postgres_that_is_too_old(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest server at hand is new enough, so the least version is raised instead."""
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        await check_database(connection, postgres_database)
        monkeypatch.setattr("relay.outbox.startup_checks.OLDEST_POSTGRES", 99)
        with pytest.raises(Refused, match="too old: run 99 or later"):
            await check_database(connection, postgres_database)


OLDEST_BINARIES = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(not OLDEST_BINARIES.is_dir(), reason=f"no Postgres 15 in {OLDEST_BINARIES}")
async def test_the_oldest_postgres_is_relayed_from(
    private_postgres: PrivatePostgres, nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    server = await private_postgres(binaries=OLDEST_BINARIES)
    assert server.version.startswith("15")
    world = await World.make(await server.ensure_database("shop"), nats_url, stream_name, subject_prefix)
    work = Writers(world.database_url, seed=new_seed(), count=8, aggregates=20, prepare=True)
    async with running(world.relay()) as relay:
        async with work.writing() as ledger:
            await relay.wait_for_state("PUBLISHING")
            await more_committed(ledger, 60)
        await world.drained(relay)
    verdict = await world.verdict(ledger)
    assert verdict.clean, verdict
    assert verdict.delivered > 50


async def test_a_pre_flight_tells_all_and_changes_nothing(world: World) -> None:
    fit = await preflight(world.configured())
    assert (fit.exit_code, fit.problems) == (0, [])
    (warning,) = fit.warnings
    assert "max_slot_wal_keep_size is -1" in warning
    assert await preflight(world.configured(mode="poll")) == Preflight(0, [], [])
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        found = await connection.execute("SELECT to_regclass('relay_state'), to_regclass('outbox_parked')")
        assert await found.fetchone() == (None, None)
    assert await streams.state(world.nats_url, world.stream) == (0, 0)
    unfit = await preflight(world.configured(table="nowhere.outbox", create_stream="false"))
    assert unfit.exit_code == 2
    assert [problem.split(" does not exist")[0] for problem in unfit.problems] == [
        "table nowhere.outbox",
        f"stream {world.stream}",
    ]
    await streams.create_stream(world.nats_url, name=world.stream, subjects=[f"{world.prefix}.>"], storage="memory")
    unfit = await preflight(world.configured())
    assert (unfit.exit_code, [one[: one.index(":")] for one in unfit.problems]) == (
        2,
        [f"stream {world.stream} keeps its messages in memory"],
    )
    down = await preflight(world.configured(database_url="postgresql://a@127.0.0.1:1/b", nats_url="nats://127.0.0.1:1"))
    assert (down.exit_code, [one.split(" cannot be reached: ")[0] for one in down.problems]) == (
        3,
        ["the database", "NATS"],
    )


async def test_the_process_says_it_on_stderr_and_ends_with_2(world: World) -> None:
    relay = world.relay(table="nowhere.outbox")
    await relay.start()
    assert await relay.ended() == 2
    assert "table nowhere.outbox does not exist in this database: create it, or set RELAY_TABLE" in relay.text
    wrong = RelayProcess({"RELAY_MODE": "sideways"})
    await wrong.start()
    assert await wrong.ended() == 2
    assert "RELAY_DATABASE_URL is not set\n" in wrong.text
    assert "RELAY_MODE: " in wrong.text
