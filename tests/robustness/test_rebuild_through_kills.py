"""A rebuild during which every other process is killed once and comes back, under a few callers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from devstack.servers import LocalServer
from query_service import rebuild_commands
from query_service.rebuild_commands import run_rebuild
from tests.fixtures.private_servers import PrivateElasticsearch, PrivateNats
from tests.fixtures.system import System, running_system
from tests.robustness.test_kill import PROCESSES, chosen_seed
from tests.robustness.test_rebuild_under_load import (
    PATIENCE,
    SAMPLE,
    Size,
    Watch,
    check_books,
    rebuild_process,
    step,
)
from tests.support.faults.delaying_proxy import DelayingProxy
from tests.support.queries.planted_drift import Vandal, query_settings
from tests.support.queries.read_side import eventually
from tests.support.robustness.recorded_orders import fill_write_model
from tests.support.robustness.steady_callers import Reads, SteadyCallers

ORDERS, COMMANDS_PER_SECOND = 1_000, 5
#: The longest delay of a piece of the export, in seconds, so that the filling takes longer than all kills.
LONGEST_DELAY_SECONDS = 4.0
#: How long a store is away, in seconds, at most.
LONGEST_OUTAGE_SECONDS = 3.0


async def kill_each(
    system: System, stores: Mapping[str, LocalServer], phase: str, callers: SteadyCallers, source: random.Random
) -> None:
    """Kills each process and each store once, in random order, and waits after each until the callers go on."""
    victims = [*PROCESSES, *stores]
    for victim in source.sample(victims, len(victims)):
        assert await phase_of(system) == phase
        if victim in stores:
            await stores[victim].kill()
            await asyncio.sleep(source.uniform(0, LONGEST_OUTAGE_SECONDS))
            await stores[victim].start()
        else:
            await eventually(lambda name=victim: killed(system, name), f"a running {victim}")  # type: ignore[misc]
        await goes_on(callers)
        print(f"{phase}: {victim} was killed; {callers.commands} commands, {callers.reads} reads", flush=True)


async def killed(system: System, name: str) -> bool:
    """Kills a process; whether it was running."""
    return system.kill(name)


async def goes_on(callers: SteadyCallers) -> None:
    """Waits until the callers have had some more answers."""
    wanted = callers.reads + 10

    async def are_had() -> bool:
        return callers.reads >= wanted

    await eventually(are_had, "answers to readers")


async def phase_of(system: System) -> str:
    """Returns the phase of the rebuild, as soon as it can be asked for."""
    phase = ""

    async def is_told() -> bool:
        nonlocal phase
        status = (await run_rebuild(query_settings(system), "status")).rebuild
        phase = status["phase"] if status else ""
        return bool(phase)

    await eventually(is_told, "a status")
    return phase


async def shows(system: System, order_ids: Sequence[str]) -> bool:
    """Whether the read model has all these orders."""
    async with Vandal.of(system) as vandal:
        return 0 not in [order.version for order in await vandal.store.orders(order_ids)]


@contextlib.asynccontextmanager
async def filling(watch: Watch, directory: Path, exports: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yields the process that fills from these exports, when it has begun."""
    start = rebuild_process(watch, directory / "rebuild.log", "start", QUERY_EXPORT_ADDRESS=exports)
    async with start as filler:

        async def has_begun() -> bool:
            assert filler.returncode is None, (directory / "rebuild.log").read_text()[-2_000:]
            return await phase_of(watch.system) == "FILLING"

        await eventually(has_begun, "the filling")
        yield filler


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_a_rebuild_goes_on_when_any_process_was_killed(
    postgres_url: str,
    private_nats: PrivateNats,
    private_elasticsearch: PrivateElasticsearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rebuild_commands, "SAMPLE", SAMPLE)
    seed = chosen_seed()
    source = random.Random(seed)
    print(f"seed {seed}", flush=True)
    nats, elasticsearch = await asyncio.gather(private_nats(), private_elasticsearch())
    stores: dict[str, LocalServer] = {"nats": nats, "elasticsearch": elasticsearch}
    async with running_system(postgres_url, nats.url, elasticsearch.url, tmp_path, PATIENCE) as system:
        changeable, every = await fill_write_model(system, ORDERS, seed)
        await eventually(lambda: shows(system, every), "a read model with all orders")
        watch = Watch(Size(ORDERS, COMMANDS_PER_SECOND, Reads()), system)
        async with SteadyCallers(
            system, seed, COMMANDS_PER_SECOND, changeable, every, Reads(own=1, listed=5, old=1), outages=True
        ) as callers:
            await callers.answered_by("g1")
            async with DelayingProxy(system.export_address, source).running() as proxy:
                proxy.most = LONGEST_DELAY_SECONDS
                async with filling(watch, tmp_path, proxy.address) as filler:
                    await kill_each(system, stores, "FILLING", callers, source)
                    proxy.most = 0.0
                    answer, _ = await filler.communicate()
                    assert filler.returncode == 0, (answer.decode(), (tmp_path / "rebuild.log").read_text()[-2_000:])
            await kill_each(system, stores, "CATCHING_UP", callers, source)
            new = str((await step(watch, "verify", tmp_path))["new"])
            await step(watch, "switch", tmp_path)
            await callers.answered_by(new)
        assert dict(callers.wrong) == {}
        assert callers.behind, "no caller noticed anything: the kills hit nothing"
        await check_books(system, new, callers.versions)
        print(f"{callers.commands} commands, {callers.reads} reads, repeated: {dict(callers.behind)}")
