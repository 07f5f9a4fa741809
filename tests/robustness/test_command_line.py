"""A store that hangs behind services that are there: commands that need it end with 3 and a sentence, others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from devstack.servers import LocalServer
from tests.acceptance.test_command_line import answered, tandem
from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats, PrivatePostgres
from tests.fixtures.system import System, running_system

#: What hangs → commands that end with 3, commands that go on.
TABLE = {
    "elasticsearch": (
        [
            ("orders", "get", "ORDER"),
            ("orders", "search", "chai"),
            ("orders", "summarize"),
            ("orders", "payments"),
            ("orders", "customer", "A"),
        ],
        [("orders", "hold", "ORDER"), ("orders", "release", "ORDER"), ("outbox", "tail", "--no-follow")],
    ),
    "nats": (
        [("events", "tail"), ("events", "tail", "--no-follow")],
        [("orders", "get", "ORDER"), ("orders", "hold", "ORDER"), ("outbox", "tail", "--no-follow")],
    ),
    "postgres": (
        [
            ("orders", "place", "--line", "CHAI:Chai:18.00"),
            ("orders", "release", "ORDER"),
            ("sample", "--orders", "3"),
            ("outbox", "tail"),
            ("relay", "parked", "list"),
        ],
        [("orders", "get", "ORDER"), ("orders", "search", "chai")],
    ),
}


@contextmanager
def stopped(server: LocalServer) -> Iterator[None]:
    """SIGSTOP to all processes of a server while the block runs."""
    assert server.pid is not None
    main = psutil.Process(server.pid)
    processes = [*main.children(recursive=True), main]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_store_that_hangs_ends_the_commands_that_need_it(
    private_postgres: PrivatePostgres,
    private_nats: PrivateNats,
    private_elasticsearch: PrivateElasticsearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers: dict[str, LocalServer] = {
        "elasticsearch": await private_elasticsearch(),
        "nats": await private_nats(),
        "postgres": await private_postgres(),
    }
    postgres_url, nats_url, elasticsearch_url = (servers[name].url for name in ("postgres", "nats", "elasticsearch"))
    async with running_system(postgres_url, nats_url, elasticsearch_url, tmp_path) as system:
        monkeypatch.setenv("TANDEM_NATS_URL", system.nats_url)
        monkeypatch.setenv("TANDEM_DIR", str(tmp_path))
        placed = await answered(system, "orders", "place", "--line", "CHAI:Chai:18.00")
        order_id = placed["order"]["order_id"]
        await answered(system, "orders", "get", order_id, "--token", placed["consistency_token"])
        for name, (ending, going_on) in TABLE.items():
            with stopped(servers[name]):
                for words in ending:
                    await ends_with_a_sentence(system, name, [order_id if word == "ORDER" else word for word in words])
                for words in going_on:
                    code, out, err = await tandem(system, *(order_id if word == "ORDER" else word for word in words))
                    assert code == 0, (name, words, out, err)


async def ends_with_a_sentence(system: System, hung: str, words: list[str]) -> None:
    code, out, err = await tandem(system, *words, patience="5")
    assert code == 3, (hung, words, out, err)
    assert "Traceback" not in err, (hung, words, err)
    assert len([line for line in err.splitlines() if not line.startswith(("database ", "3 orders:"))]) == 1, err
