"""The power of NATS's disk is cut: what each publish had waited for is there, what none had waited for is refilled."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time

import pytest

from devstack.servers import NatsServer
from tests.fixtures.cuttable_disk import CuttableDisk
from tests.fixtures.private_servers import PrivateNats
from tests.support.chance import new_seed, tell
from tests.support.relay import streams
from tests.support.relay.log_mode import in_mode, more_committed
from tests.support.relay.relay_process import running
from tests.support.relay.world import World
from tests.support.relay.writers import Writers

EVENTS_BETWEEN = 200
SECONDS = 120.0


async def power_cut(disk: CuttableDisk, server: NatsServer) -> None:
    """Server and disk stop at one moment. A server that outlives its disk is another fault: NATS then acknowledges what
    it could not write."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    disk.cut()
    await server.kill()
    await server.stop()


async def power_on(disk: CuttableDisk, server: NatsServer) -> None:
    disk.power_on()
    await server.start()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cuts", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_nothing_acknowledged_is_lost_where_each_publish_waits_for_the_disk(
    postgres_database: str, cuttable_disk: CuttableDisk, private_nats: PrivateNats, cuts: int
) -> None:
    server = await private_nats(sync_always=True, directory=cuttable_disk.mount_point)
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    work = Writers(postgres_database, seed=new_seed(), count=8, aggregates=50)
    async with work.writing() as ledger:
        for turn in range(cuts):
            async with running(world.relay()) as relay:
                await in_mode(relay, "wal")
                await relay.stored(EVENTS_BETWEEN)
                await power_cut(cuttable_disk, server)
                acknowledged = (await relay.page())["stream_sequence"]
            await power_on(cuttable_disk, server)
            stored = (await streams.state(server.url, "ORDERS"))[1]
            tell(f"cut {turn + 1} of {cuts}: {acknowledged} acknowledged, {stored} stored")
            assert stored >= acknowledged
        await more_committed(ledger, cuts * EVENTS_BETWEEN - len(ledger.committed))
    async with running(world.relay()) as relay:
        await world.drained(relay)
        page = await relay.page()
        assert (page["loss"], page["publish_epoch"]) == (None, 1)
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, verdict
    assert verdict.delivered >= cuts * EVENTS_BETWEEN


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cuts", [1, pytest.param(10, marks=pytest.mark.long)])
async def test_what_nats_lost_by_syncing_late_is_noticed_and_filled_in_again(
    postgres_database: str, cuttable_disk: CuttableDisk, private_nats: PrivateNats, cuts: int
) -> None:
    """NATS's default: an ack says no more than that the kernel has the message."""
    server = await private_nats(directory=cuttable_disk.mount_point)
    world = await World.make(postgres_database, server.url, "ORDERS", "orders")
    work = Writers(postgres_database, seed=new_seed(), count=8, aggregates=50)
    async with running(world.relay()) as relay, work.writing() as ledger:
        for turn in range(cuts):
            await in_mode(relay, "wal")
            kept = await relay.stored(EVENTS_BETWEEN)
            cuttable_disk.sync()
            acknowledged = await relay.stored(EVENTS_BETWEEN)
            await power_cut(cuttable_disk, server)
            await power_on(cuttable_disk, server)
            deadline = time.monotonic() + SECONDS
            while (page := await relay.page())["publish_epoch"] != turn + 2:
                assert time.monotonic() < deadline, f"{page}\n{relay.text}"
                await asyncio.sleep(0.02)
            found = re.search(r"the stream ends at (\d+) and had (\d+);", page["loss"])
            assert found is not None, page["loss"]
            ends, had = map(int, found.groups())
            tell(f"cut {turn + 1} of {cuts}: {page['loss']}")
            assert kept <= ends < acknowledged <= had
        await work.finish()
        await world.drained(relay)
        assert (await relay.page())["mode"] == "wal"
    verdict = await world.verdict(ledger)
    tell(str(verdict))
    assert verdict.clean, verdict
    epochs = [int(re.split("[.:]", message.headers["Nats-Msg-Id"])[0]) for message in await world.messages()]
    assert epochs == sorted(epochs)
    assert set(epochs) == set(range(1, cuts + 2))
