"""No server outlives the process that started it, and what a killed run leaves is cleaned by the next."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack.servers import PostgresServer, ServerError, child, local_server
from devstack.servers.leftovers import end_leftovers, processes_of
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.server_starter import SCRIPT, gone, starter

NewDirectory = Callable[[str], Path]


@pytest.mark.parametrize("store", ["postgres", "nats"])
def test_kill_9_of_the_parent_ends_everything(store: str, server_directory: NewDirectory) -> None:
    with starter(server_directory(store), store) as parent:
        home = Path(parent.up()[store]["home"])
        processes = parent.descendants()
        assert len(processes) >= 2  # the guard and the server
        parent.kill()
        assert gone(processes, [home]) == []


def test_kill_9_while_elasticsearch_starts_ends_everything(
    server_directory: NewDirectory, elasticsearch_archive: Path
) -> None:
    directory = server_directory("elasticsearch")
    with starter(directory, "elasticsearch") as parent:
        parent.read_until(lambda line: (line.get("phase"), line.get("state")) == ("start", "begin"))
        parent.wait_for_descendants(2)  # the guard, the launcher
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


def mutant_guard(tmp_path: Path, **switched_off: str) -> Path:
    """The guard without these pieces of its code: name=the piece."""
    source = child._GUARD.read_text()
    for name, piece in switched_off.items():
        assert source.count(piece) == 1, name
        source = source.replace(piece, "")
    mutant = tmp_path / "guard.py"
    mutant.write_text(source)
    return mutant


PIPE = " if stop_by is not None else [wake, 0]"
PARENT = " or os.getppid() != parent"
CLEAN_UP = "    _kill_everything(server)\n"


@pytest.mark.parametrize("mutant", [False, True])
def test_kill_9_of_a_parent_whose_fork_lives_on_ends_the_server(
    mutant: bool, server_directory: NewDirectory, tmp_path: Path
) -> None:
    environment = {"TEST_FORK": "1"}
    if mutant:
        environment["TEST_GUARD"] = str(mutant_guard(tmp_path, parent=PARENT))
    with starter(server_directory("nats"), "nats", environment=environment) as parent:
        home = Path(parent.up()["nats"]["home"])
        parent.wait_for_descendants(3)  # the guard, the server, the fork
        processes = parent.descendants()
        (fork,) = (process for process in processes if SCRIPT.name in " ".join(process.cmdline()))
        parent.kill()
        processes.remove(fork)
        try:
            left = gone(processes, [home], within=2.5 if mutant else 120)
            assert bool(left) is mutant
            assert fork.is_running()
        finally:
            fork.kill()
        assert gone(processes, [home]) == []


@pytest.mark.mutant
async def test_a_guard_that_does_not_watch_is_caught_and_what_it_leaves_is_cleaned(
    server_directory: NewDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = server_directory("postgres")
    blind = mutant_guard(tmp_path, pipe=PIPE, parent=PARENT)
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
        assert gone(processes, []) == []
        async with await psycopg.AsyncConnection.connect(second.url) as connection:
            await connection.execute("SELECT FROM kept")


BUSY_FOR_EVER = "DO $$ BEGIN LOOP END LOOP; END $$"
"""Never waits, so it never notices that its server is gone."""


async def keep_a_backend_busy(server: PostgresServer) -> None:
    """Makes one backend busy for ever; returns when it is."""
    busy = await psycopg.AsyncConnection.connect(server.url, autocommit=True)
    busy.pgconn.send_query(BUSY_FOR_EVER.encode())
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as other:
        async with asyncio.timeout(120):
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


@pytest.mark.mutant
async def test_a_guard_that_does_not_clean_up_is_caught(
    private_postgres: PrivatePostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_GUARD", mutant_guard(tmp_path, clean_up=CLEAN_UP))
    server = await private_postgres()
    await keep_a_backend_busy(server)
    await server.kill()
    assert processes_of(server.home) != []
    assert end_leftovers(server.home) != []
