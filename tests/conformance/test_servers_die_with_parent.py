"""No server outlives the process that started it, and what a killed run leaves is cleaned by the next."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack.servers import ElasticsearchServer, PostgresServer, ServerError, child, local_server
from devstack.servers.leftovers import end_leftovers, processes_of
from tests.fixtures.private_servers import PrivatePostgres
from tests.fixtures.server_starter import gone, starter

NewDirectory = Callable[[str], Path]


@pytest.mark.parametrize("store", ["postgres", "nats"])
def test_kill_9_of_the_parent_ends_everything(store: str, server_directory: NewDirectory) -> None:
    with starter(server_directory(store), store) as parent:
        home = Path(parent.up()[store]["home"])
        processes = parent.descendants()
        assert len(processes) >= 2  # the guard and the server
        parent.kill()
        assert gone(processes, [home]) == []


async def test_kill_9_while_elasticsearch_starts_ends_everything(server_directory: NewDirectory) -> None:
    directory = server_directory("elasticsearch")
    await ElasticsearchServer(directory).download()  # a first download is not what is tried here
    with starter(directory, "elasticsearch") as parent:
        parent.read_until(lambda line: (line.get("phase"), line.get("state")) == ("start", "begin"))
        parent.wait_for_descendant("java")
        processes = parent.descendants()
        parent.kill()
        assert gone(processes, [directory / "elasticsearch"]) == []


def test_kill_9_of_the_guard_ends_the_server(server_directory: NewDirectory) -> None:
    with starter(server_directory("nats"), "nats") as parent:
        server = parent.up()["nats"]
        guard = psutil.Process(server["pid"]).parent()
        assert guard is not None
        processes = parent.descendants()
        guard.kill()
        assert gone(processes, [Path(server["home"])]) == []


def mutant_guard(tmp_path: Path, code: str, instead: str) -> Path:
    """The guard with one thing changed."""
    source = child._GUARD.read_text()
    assert code in source
    mutant = tmp_path / "guard.py"
    mutant.write_text(source.replace(code, instead))
    return mutant


async def test_a_guard_that_does_not_watch_is_caught_and_what_it_leaves_is_cleaned(
    server_directory: NewDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = server_directory("postgres")
    blind = mutant_guard(tmp_path, "watched = [wake] if stop_by is not None else [wake, 0]", "watched = [wake]")
    with starter(directory, "postgres", environment={"TEST_GUARD": str(blind)}) as parent:
        first = parent.up()["postgres"]
        async with await psycopg.AsyncConnection.connect(first["url"], autocommit=True) as connection:
            await connection.execute("CREATE TABLE kept ()")
        processes = parent.descendants()
        parent.kill()
        assert gone(processes, [Path(first["home"])], within=1.0) != []

    # while the leftover lives, a start that does not clean up cannot have the data
    server = PostgresServer(directory)
    with monkeypatch.context() as patch:
        patch.setattr(local_server, "end_leftovers", lambda _: [])
        with pytest.raises(ServerError, match="shared memory"):
            await server.start()
        await server.stop()

    async with PostgresServer(directory) as second:
        assert gone(processes, [], within=1.0) == []
        async with await psycopg.AsyncConnection.connect(second.url) as connection:
            await connection.execute("SELECT FROM kept")


BUSY_FOR_EVER = "DO $$ BEGIN LOOP END LOOP; END $$"
"""Never waits, so it never notices that its server is gone."""


async def keep_a_backend_busy(server: PostgresServer) -> None:
    """Makes one backend busy for ever; returns when it is."""
    busy = await psycopg.AsyncConnection.connect(server.url, autocommit=True)
    busy.pgconn.send_query(BUSY_FOR_EVER.encode())
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as other:
        async with asyncio.timeout(10):
            while True:
                found = await other.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'", [BUSY_FOR_EVER]
                )
                if await found.fetchone():
                    break
                await asyncio.sleep(0.01)
    busy.pgconn.finish()


async def test_kill_takes_the_busy_backends_too(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres()
    await keep_a_backend_busy(server)
    await server.kill()
    assert processes_of(server.home) == []


async def test_a_guard_that_does_not_clean_up_is_caught(
    private_postgres: PrivatePostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        child, "_GUARD", mutant_guard(tmp_path, "    _kill_everything(server)\n    return status", "    return status")
    )
    server = await private_postgres()
    await keep_a_backend_busy(server)
    await server.kill()
    assert processes_of(server.home) != []
    assert end_leftovers(server.home) != []
