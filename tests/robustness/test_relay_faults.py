"""Servers and streams that fail under the relay: it waits, goes on behind what is stored, and says what was lost."""

from __future__ import annotations

import asyncio
import re
import shutil
import time

import pytest

from relay.stream.position import FOREIGN_SEARCH
from tests.fixtures.private_servers import PrivateNats, PrivatePostgres
from tests.support.chance import new_seed, tell
from tests.support.relay import streams
from tests.support.relay.log_mode import KNOWN, in_mode, more_committed
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

SECONDS = 120.0


async def wait_for_error(relay: RelayProcess, part: str, seconds: float = SECONDS) -> None:
    """Waits until the relay retries because of an error that has `part` in its text."""
    deadline = time.monotonic() + seconds
    while True:
        page = await relay.page()
        if page["state"] == "RETRYING" and part in (page["last_error"] or ""):
            return
        assert time.monotonic() < deadline, page
        await asyncio.sleep(0.02)


async def metric(relay: RelayProcess, sample: str) -> float:
    """The value of one sample of /metrics."""
    for line in (await relay.get("/metrics")).splitlines():
        if line.startswith(f"{sample} "):
            return float(line.split()[-1])
    raise AssertionError(f"no sample {sample}")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kills", "down", "writers"),
    [
        (2, 0.0, 8),
        pytest.param(20, 0.0, 64, marks=pytest.mark.long),
        pytest.param(1, 60.0, 64, marks=pytest.mark.long),
    ],
)
async def test_nats_killed_under_load(
    postgres_database: str, private_nats: PrivateNats, kills: int, down: float, writers: int
) -> None:
    """`down` are the seconds that NATS stays away; writers notice nothing of it."""
    server = await private_nats()
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    work = Writers(postgres_database, seed=new_seed(), count=writers, aggregates=50)
    async with running(world.relay()) as relay, work.writing() as ledger:
        for turn in range(kills):
            await in_mode(relay, "wal")
            await relay.stored(50)
            await server.kill()
            await wait_for_error(relay, "NATS")
            written = len(ledger.committed)
            await asyncio.sleep(down)
            await more_committed(ledger, 50)
            assert (await relay.get("/livez")).strip() == "ok"
            assert "NATS" in await relay.get("/readyz")
            tell(f"NATS killed {turn + 1} times; {len(ledger.committed) - written} events committed meanwhile")
            await server.restart()
            await relay.wait_for_state("PUBLISHING")
        await more_committed(ledger, 100 * kills + 1 - len(ledger.committed))
        assert await metric(relay, 'relay_errors_total{class="nats"}') >= kills
        assert await metric(relay, "relay_parked_aggregates") == 0
        await work.finish()
        await world.drained(relay)
        assert await metric(relay, 'relay_mode{mode="wal"}') == 1, "an outage of NATS is no reason to leave the log"
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, verdict
    assert verdict.delivered > 100 * kills


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["auto", pytest.param("poll", marks=pytest.mark.long)])
@pytest.mark.parametrize(("restarts", "writers"), [(2, 8), pytest.param(20, 64, marks=pytest.mark.long)])
async def test_postgres_restarted_under_load(
    private_postgres: PrivatePostgres,
    nats_url: str,
    stream_name: str,
    subject_prefix: str,
    mode: str,
    restarts: int,
    writers: int,
) -> None:
    """Killed and stopped in turn, in the middle of transactions whose outcome their writers never learn."""
    server = await private_postgres()
    world = await World.make(await server.ensure_database("shop"), nats_url, stream_name, subject_prefix)
    work = Writers(world.database_url, seed=new_seed(), count=writers, aggregates=50, outlive=True)
    async with running(world.relay(mode=mode)) as relay, work.writing() as ledger:
        for turn in range(restarts):
            await in_mode(relay, "poll" if mode == "poll" else "wal")
            await relay.stored(50)
            if turn % 2 == 0:
                await server.kill()
                await wait_for_error(relay, "database")
                assert (await relay.get("/livez")).strip() == "ok"
            await server.restart()
            await more_committed(ledger, 50)
        await more_committed(ledger, 100 * restarts + 1 - len(ledger.committed))
        await work.finish()
        await in_mode(relay, "poll" if mode == "poll" else "wal")
        await world.drained(relay)
        assert await metric(relay, 'relay_errors_total{class="database"}') >= restarts // 2
        assert KNOWN not in relay.text
    verdict = await world.verdict()
    tell(str(verdict))
    assert verdict.clean, verdict
    assert ledger.committed <= await world.committed()
    assert verdict.delivered > 100 * restarts


async def test_a_stream_deleted_while_running_is_filled_again(world: World) -> None:
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(2_000)
        await world.drained(relay)
        await streams.delete_stream(world.nats_url, world.stream)
        await world.insert(100)
        deadline = time.monotonic() + SECONDS
        while (await relay.page())["publish_epoch"] != 2:
            assert time.monotonic() < deadline, relay.text
            await asyncio.sleep(0.02)
        await world.drained(relay)
        page = await relay.page()
        assert "replaced" in page["loss"]
        assert "publish epoch 2" in page["loss"]
    stored = await world.messages()
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 2_100
    assert {re.split("[.:]", message.headers["Nats-Msg-Id"])[0] for message in stored} == {"2"}


async def test_a_stream_that_lost_its_end_is_completed(postgres_database: str, private_nats: PrivateNats) -> None:
    """As after a power cut under lazy sync: the server comes back with an older state of the same stream."""
    server = await private_nats()
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(500)
        await world.drained(relay)
        await server.stop()
        older = server.home / "older"
        shutil.copytree(server.home / "jetstream", older)
        await server.start()
        await relay.wait_for_state("PUBLISHING")
        await world.insert(500)
        await world.drained(relay)
        assert await relay.stop() == 0
    before = await world.messages()
    await server.stop()
    shutil.rmtree(server.home / "jetstream")
    shutil.copytree(older, server.home / "jetstream")
    for path in [server.home / "jetstream", *(server.home / "jetstream").rglob("*")]:
        shutil.chown(path, server.account.uid if server.account else -1, server.account.gid if server.account else -1)
    await server.start()
    lost = before[-1].sequence - (await streams.state(server.url, "ORDERS"))[1]
    assert lost >= 500
    async with running(world.relay()) as relay:
        page = await relay.wait_for_state("PUBLISHING")
        assert page["publish_epoch"] == 2
        assert f"had {before[-1].sequence}" in page["loss"]
        await world.drained(relay)
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 1_000
    epochs = [re.split("[.:]", message.headers["Nats-Msg-Id"])[0] for message in await world.messages()]
    assert epochs == sorted(epochs)
    assert set(epochs) == {"1", "2"}


async def test_a_full_stream_is_waited_for(world: World) -> None:
    async with running(world.relay(stream_max_bytes=str(1 << 20))) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(3_000)
        await wait_for_error(relay, "maximum bytes")
        assert "maximum bytes" in await relay.get("/readyz")
        deadline = time.monotonic() + SECONDS
        while not await metric(relay, "relay_stream_used_ratio") > 0.8:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert await metric(relay, "relay_oldest_unpublished_age_seconds") > 0
        assert await metric(relay, "relay_backlog_events") > 1_000
        await streams.update_stream(world.nats_url, world.stream, max_bytes=1 << 30)
        await world.drained(relay)
        assert await metric(relay, "relay_parked_aggregates") == 0
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 3_000


async def test_a_stranger_in_the_stream_is_noticed_and_passed(world: World) -> None:
    work = Writers(world.database_url, seed=new_seed(), count=8, aggregates=50)
    async with running(world.relay()) as relay, work.writing() as ledger:
        await relay.wait_for_state("PUBLISHING")
        for _ in range(10):
            await streams.publish(world.nats_url, f"{world.prefix}.stranger")
            await asyncio.sleep(0.05)
        await work.finish()
        await relay.wait_for_state("PUBLISHING")
        await world.drained(relay)
        assert await metric(relay, "relay_fenced_total") >= 1
        assert "foreign messages" in relay.text
    verdict = await world.verdict(ledger)
    assert verdict.clean, verdict


async def test_a_stream_flooded_by_a_stranger_is_refused_not_filled_again(world: World) -> None:
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(100)
        await world.drained(relay)
    await streams.publish(world.nats_url, f"{world.prefix}.stranger", times=FOREIGN_SEARCH + 1)
    async with running(world.relay()) as relay:
        assert await relay.ended() == 2
        assert "are not the relay's" in relay.text
    verdict = await world.verdict()
    assert verdict.delivered == 100
    assert verdict.repeated == 0


async def test_a_stream_emptied_by_age_is_not_filled_again(world: World) -> None:
    await streams.create_stream(
        world.nats_url,
        name=world.stream,
        subjects=[f"{world.prefix}.>"],
        storage="file",
        discard="new",
        allow_atomic=True,
        deny_delete=True,
        deny_purge=True,
        max_age=1.0,
        duplicate_window=0.5,
    )
    async with running(world.relay()) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(300)
        await world.drained(relay)
        assert await relay.stop() == 0
    while (await streams.state(world.nats_url, world.stream))[0]:
        await asyncio.sleep(0.05)
    async with running(world.relay()) as relay:
        page = await relay.wait_for_state("PUBLISHING")
        assert page["loss"] is None
        assert page["publish_epoch"] == 1
        await world.insert(7)
        deadline = time.monotonic() + SECONDS
        while await metric(relay, 'relay_published_total{outcome="stored"}') < 7:
            assert time.monotonic() < deadline, relay.text
            await asyncio.sleep(0.02)
        await world.drained(relay)
        assert await metric(relay, 'relay_published_total{outcome="stored"}') == 7


FORGIVING = """
import relay.stream.setup as setup
setup._CHECKS = tuple(check for check in setup._CHECKS if "purged" not in check[0])
"""


async def test_a_duplicate_that_is_not_stored_is_published_under_a_new_epoch(world: World) -> None:
    """A server that knows an id without having the message would swallow the event; `duplicate: true` is no proof."""
    await streams.create_stream(
        world.nats_url,
        name=world.stream,
        subjects=[f"{world.prefix}.>"],
        storage="file",
        discard="new",
        allow_atomic=True,
        deny_delete=True,
    )
    async with running(world.relay(prelude=FORGIVING)) as relay:
        await relay.wait_for_state("PUBLISHING")
        await world.insert(50)
        await world.drained(relay)
        await relay.kill()
    async with streams.client(world.nats_url) as client:
        await client.jetstream().purge_stream(world.stream)
    async with running(world.relay(prelude=FORGIVING)) as relay:
        await relay.wait_for_state("PUBLISHING")
        deadline = time.monotonic() + SECONDS
        while (await relay.page())["publish_epoch"] != 2:
            assert time.monotonic() < deadline, relay.text
            await asyncio.sleep(0.02)
        await world.drained(relay)
        assert await metric(relay, 'relay_errors_total{class="duplicate"}') >= 1
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert verdict.delivered == 50


async def test_a_stop_does_not_wait_for_nats(world: World) -> None:
    async with running(world.relay(nats_url="nats://127.0.0.1:1")) as relay:
        await wait_for_error(relay, "NATS cannot be reached")
        assert (await relay.get("/livez")).strip() == "ok"
        assert await relay.stop() == 0, relay.text
