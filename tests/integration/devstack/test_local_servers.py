"""The life of one local server: restart, crash, and the one sentence that each thing gone wrong gets."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import psycopg
import pytest
from elasticsearch import AsyncElasticsearch
from nats.js.api import StreamConfig

from devstack.servers import (
    AlreadyRunning,
    ElasticsearchServer,
    LocalServer,
    LocalServers,
    Missing,
    NatsServer,
    PortBusy,
    Ports,
    PostgresServer,
    Progress,
    ServerError,
)
from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats, PrivatePostgres
from tests.fixtures.stores import give_up

NewDirectory = Callable[[str], Path]


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def one_sentence(error: ServerError) -> str:
    """The message, when it is one sentence on one line."""
    message = str(error)
    assert "\n" not in message
    assert message.endswith(".")
    return message


async def test_postgres_keeps_port_and_data_over_restart_and_crash(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres()
    url, first_pid = await server.ensure_database("orders"), server.pid
    assert await server.ensure_database("orders") == url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    for end in (server.stop, server.kill):
        await end()
        assert not server.running
        with pytest.raises(ServerError, match="does not run"):
            _ = server.pid
        await server.restart()
        assert server.pid != first_pid
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await (await connection.execute("SELECT n FROM t")).fetchone() == (1,)


async def test_settings_go_over_ours(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres(settings={"fsync": "off", "application_name": "it's"})
    async with await psycopg.AsyncConnection.connect(server.url) as connection:
        assert await (await connection.execute("SHOW fsync")).fetchone() == ("off",)


async def test_nats_keeps_port_and_messages_over_restart_and_crash(private_nats: PrivateNats) -> None:
    server = await private_nats(sync_always=True)
    url = server.url
    for count, end in enumerate((server.restart, server.kill, server.restart)):
        client = await nats.connect(url)
        jetstream = client.jetstream(timeout=60)
        await jetstream.add_stream(StreamConfig(name="S", subjects=["s"]))
        assert (await jetstream.publish("s", b"x")).seq == count + 1
        await client.close()
        await end()
        if not server.running:
            await server.restart()


async def test_elasticsearch_keeps_port_and_documents_over_a_crash(
    private_elasticsearch: PrivateElasticsearch,
) -> None:
    server = await private_elasticsearch()
    url, pid, index = server.url, server.pid, f"kept-{secrets.token_hex(5)}"
    async with AsyncElasticsearch(url, request_timeout=120) as client:
        await client.index(index=index, id="1", document={"n": 1})
    await server.kill()
    assert not server.running
    await server.restart()
    assert (server.url, server.pid != pid) == (url, True)
    async with AsyncElasticsearch(url, request_timeout=120) as client:
        assert (await client.get(index=index, id="1"))["_source"] == {"n": 1}


@pytest.mark.parametrize(
    ("kind", "argument", "setting"),
    [
        (PostgresServer, "port", "TANDEM_POSTGRES_PORT"),
        (NatsServer, "port", "TANDEM_NATS_PORT"),
        (NatsServer, "monitor_port", "TANDEM_NATS_MONITOR_PORT"),
        (ElasticsearchServer, "port", "TANDEM_ELASTICSEARCH_PORT"),
    ],
)
async def test_a_busy_port_is_named_with_its_setting(
    kind: Callable[..., LocalServer], argument: str, setting: str, busy_port: int, server_directory: NewDirectory
) -> None:
    server = kind(server_directory("busy"), **{argument: busy_port})
    try:
        await server.install()
    except Missing as reason:
        give_up(str(reason))
    with pytest.raises(PortBusy) as refused:
        await server.start()
    await server.stop()
    message = one_sentence(refused.value)
    assert f"port {busy_port}" in message
    assert f"process {os.getpid()} (" in message
    assert f"set {setting} to another port" in message


async def test_the_setting_named_can_be_chosen(busy_port: int, server_directory: NewDirectory) -> None:
    server = PostgresServer(server_directory("busy"), port=busy_port, port_setting="DATABASE_PORT")
    with pytest.raises(PortBusy, match="set DATABASE_PORT to another port"):
        await server.start()
    await server.stop()


async def test_one_directory_has_one_owner(private_nats: PrivateNats) -> None:
    first = await private_nats()
    second = NatsServer(first.home.parent)
    with pytest.raises(AlreadyRunning) as refused:
        await second.start()
    assert str(first.home) in one_sentence(refused.value)
    assert first.running
    await first.stop()
    await second.start()
    await second.stop()


async def test_data_of_another_postgres_is_left_alone(server_directory: NewDirectory) -> None:
    server = PostgresServer(server_directory("old"))
    async with server:
        pass
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match="was made by Postgres 9 and this is Postgres 18") as refused:
        await server.start()
    one_sentence(refused.value)


async def test_a_failed_start_shows_the_end_of_the_log(server_directory: NewDirectory) -> None:
    server = PostgresServer(server_directory("broken"), settings={"shared_buffers": "a lot"})
    with pytest.raises(ServerError) as failed:
        await server.start()
    sentence, _, tail = str(failed.value).partition("\n")
    assert "Postgres ended with status 1 while it started" in sentence
    assert 'invalid value for parameter "shared_buffers"' in tail
    assert not server.running
    await server.stop()


@pytest.fixture
def other_postgres() -> Path:
    """The `bin` directory of a Postgres that the system's packages installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no other Postgres on this machine (/usr/lib/postgresql)")
    return found[-1].parent


async def test_another_bin_directory_can_be_used(private_postgres: PrivatePostgres, other_postgres: Path) -> None:
    server = await private_postgres(binaries=other_postgres)
    assert server.version.startswith(other_postgres.parent.name)
    async with await psycopg.AsyncConnection.connect(server.url) as connection:
        assert await (await connection.execute("SELECT lower('Ü')")).fetchone() == ("ü",)


async def test_a_missing_program_is_named(server_directory: NewDirectory, tmp_path: Path) -> None:
    server = PostgresServer(server_directory("nowhere"), binaries=tmp_path)
    with pytest.raises(ServerError, match="cannot be run") as refused:
        await server.start()
    assert str(tmp_path / "postgres") in one_sentence(refused.value)


async def test_one_failure_stops_the_others(
    busy_port: int, server_directory: NewDirectory, elasticsearch_archive: Path
) -> None:
    seen: list[Progress] = []
    servers = LocalServers(server_directory("three"), Ports(nats=busy_port), listener=seen.append)
    with pytest.raises(PortBusy):
        await servers.start()
    assert not any(server.running for server in servers.all)
    last_install = max(i for i, p in enumerate(seen) if (p.phase, p.state) == ("install", "done"))
    first_start = min(i for i, p in enumerate(seen) if (p.phase, p.state) == ("start", "begin"))
    assert last_install < first_start, "phases overlap"
    assert ("nats", "start", "failed") in {(p.server, p.phase, p.state) for p in seen}
