"""A rebuild of many orders while commands arrive and readers read, and while the process that fills it is killed.

Readers must notice nothing: no read fails, no answer is staler than its token, no order is missing for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bench.harness.process_usage import peak_memory_mib
from query_service import rebuild_commands
from query_service.application.comparing.findings import Kind
from query_service.application.ports.generations import Phase
from query_service.checking import drift
from query_service.config import QuerySettings
from query_service.connections import generations_of
from query_service.rebuild_commands import run_rebuild
from query_service.storage import open_read_store
from tests.fixtures.system import System, running_system
from tests.robustness.test_kill import chosen_seed
from tests.support.faults.holding_proxy import HoldingProxy
from tests.support.queries.planted_drift import Vandal, query_settings
from tests.support.robustness.recorded_orders import fill_write_model, read_orders, written_orders
from tests.support.robustness.steady_callers import Reads, SteadyCallers

WORKERS = 4
KILLS = 2
#: The orders of the short test, and of the long one.
FEW, MANY = 300, 1_000_000
#: Orders whose content is compared field by field: each of them takes several requests.
SAMPLE = 50
#: With the reads of the short test, the commands, the readers and the projection alone fill two cores.
FEWER_READS = Reads(own=5, listed=100, old=20)
#: A loaded machine is slow, and a step that ended because a store did not answer is an operator's to repeat.
PATIENCE = {"QUERY_READ_TIMEOUT_SECONDS": "50", "QUERY_WRITE_TIMEOUT_SECONDS": "200"}
REPORT_SECONDS = 10.0
#: The most memory of the filling process and of the command service that exports, in MiB. With a million orders they
#: needed 212 and 125. A process that kept one kilobyte of each order would need a thousand more.
MOST_MIB = 400
#: No rebuild fills as many orders a second.
FASTEST = 20_000
#: Runs the query service as a container does, in which the first process always has the same number. So a process that
#: is started again has the name of the one that was killed, and takes its ranges back at once.
IN_A_CONTAINER = (
    "-c",
    "import os, runpy; os.getpid = lambda: 1; runpy.run_module('query_service', run_name='__main__', alter_sys=True)",
)


@dataclass
class Size:
    """`long` runs each step of the rebuild as a process of its own, as operators do."""

    orders: int
    commands_per_second: int
    reads: Reads
    long: bool = False


@dataclass
class Watch:
    """Measures how long each phase takes, and the peak memory of the processes, in MiB."""

    size: Size
    system: System
    callers: SteadyCallers | None = None
    filler: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    now: str = ""

    @contextlib.contextmanager
    def phase(self, name: str) -> Any:
        """Measures the block."""
        self.now, begun = name, time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - begun, 1)

    async def report_forever(self) -> None:
        """Looks at the processes once a second, and prints a line every REPORT_SECONDS of a long run."""
        begun = reported = time.monotonic()
        while True:
            pids = {"filler": self.filler, "command": self.system.processes["command"].pid}
            for name, pid in pids.items():
                if pid is not None:
                    self.peaks[name] = max(self.peaks.get(name, 0.0), round(peak_memory_mib(pid)))
            if self.size.long and time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                status = (await run_rebuild(query_settings(self.system), "status")).rebuild
                print(f"{reported - begun:.0f} s: {self.now}; {self._callers()}; {_progress(status)}; {self.peaks}")
            await asyncio.sleep(1.0)

    def _callers(self) -> str:
        callers = self.callers
        if callers is None:
            return "no callers"
        return (
            f"{callers.commands} commands, {callers.reads} reads, behind: {dict(callers.behind)},"
            f" wrong: {dict(callers.wrong)}"
        )


def _progress(status: Mapping[str, Any] | None) -> str:
    if status is None:
        return "no rebuild"
    return f"{status['phase']} {status['filled_orders']} of {status['orders']} orders, {status['orders_per_second']}/s"


async def begin_read_model(settings: QuerySettings) -> str:
    """Makes the generation that answers readers, before any are there, and returns its name.

    It is filled from exports: to project all events would take as long as the test. It is not verified, because the
    rebuild under test compares its own generation with the write side.
    """
    report = await run_rebuild(settings, "start", workers=WORKERS)
    assert not report.error, report.error
    store = open_read_store(settings, request_timeout=60)
    try:
        generations = generations_of(store)
        stored = await generations.rebuild()
        assert stored.rebuild is not None
        await generations.serve(stored.rebuild.new, instead_of=stored.rebuild.old)
        assert await generations.save(replace(stored.rebuild, phase=Phase.VERIFIED), stored)
    finally:
        await store.close()
    report = await run_rebuild(settings, "finish")
    assert not report.error, report.error
    return stored.rebuild.new


@contextlib.asynccontextmanager
async def rebuild_process(
    watch: Watch, log: Path, *arguments: str, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a step of the rebuild as an operator does; it is killed when the block ends before it does."""
    system, module = watch.system, ("-m", "query_service") if watch.size.long else IN_A_CONTAINER
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *module, "rebuild", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            env={**os.environ, **system.settings, **settings},
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def fill_through_kills(watch: Watch, proxy: HoldingProxy, directory: Path, seed: int) -> None:
    """Fills the new generation. The filling process is killed twice while it waits for a page of the export.

    `proxy` has passed all orders once: so it is known how much comes.
    """
    source, everything, log = random.Random(seed), proxy.passed, directory / "rebuild.log"
    for attempt in range(KILLS + 1):
        last = attempt == KILLS
        if not last:
            proxy.hold_after(int(everything * source.uniform(0.1, 0.4)))
        join = ("--join",) if attempt else ()
        settings = {"QUERY_EXPORT_ADDRESS": proxy.address}
        start = rebuild_process(watch, log, "start", "--workers", str(WORKERS), *join, **settings)
        async with start as filler:
            watch.filler = filler.pid
            ended, held = asyncio.create_task(filler.communicate()), asyncio.create_task(proxy.held())
            await asyncio.wait({ended} if last else {ended, held}, return_when=asyncio.FIRST_COMPLETED)
            held.cancel()
            if last:
                assert filler.returncode == 0, (ended.result()[0].decode(), log.read_text()[-2_000:])
            else:
                assert not ended.done(), (ended.result()[0].decode(), log.read_text()[-2_000:])
                if watch.size.long:  # so that the process is not always killed while it waits
                    proxy.release()
                    await asyncio.sleep(source.uniform(0.0, watch.size.orders / FASTEST * 0.05))
                filler.kill()
                await ended
                print(f"filling killed after {proxy.passed - everything:,} bytes of about {everything:,}")
        proxy.release()
        watch.filler = None


async def step(watch: Watch, action: str, directory: Path) -> Mapping[str, Any]:
    """Runs a step of the rebuild, which must succeed, and returns its answer."""
    with watch.phase(action):
        if not watch.size.long:
            report = await run_rebuild(query_settings(watch.system), action)
            assert not report.error, report.error
            assert report.rebuild is not None
            return report.rebuild
        log = directory / "rebuild.log"
        async with rebuild_process(watch, log, action) as process:
            answer, _ = await process.communicate()
            assert process.returncode == 0, (answer.decode(), log.read_text()[-2_000:])
    found: Mapping[str, Any] = json.loads(answer)["rebuild"]
    return found


async def rebuilt_under_load(system: System, size: Size, directory: Path, seed: int) -> None:
    """The test itself."""
    watch = Watch(size, system)
    print(f"seed {seed}, {size.orders} orders, {size.commands_per_second} commands/s")
    reporting = asyncio.create_task(watch.report_forever())
    try:
        with watch.phase("orders"):
            changeable, every = await fill_write_model(system, size.orders, seed)
        async with HoldingProxy(system.export_address).running() as proxy:
            assert isinstance(proxy, HoldingProxy)
            with watch.phase("first generation"):
                old = await begin_read_model(query_settings(system, export_address=proxy.address))
            with watch.phase("readers start"):
                await system.start_reading()
            async with SteadyCallers(system, seed, size.commands_per_second, changeable, every, size.reads) as callers:
                watch.callers = callers
                await callers.answered_by(old)
                with watch.phase("fill"):
                    await fill_through_kills(watch, proxy, directory, seed)
                verified = await step(watch, "verify", directory)
                new, rate = verified["new"], verified["orders_per_second"]
                for action, generation in (("switch", new), ("rollback", old), ("switch", new), ("finish", new)):
                    await step(watch, action, directory)
                    await callers.answered_by(generation)
        assert dict(callers.wrong) == {}
        with watch.phase("check"):
            await check_books(system, new, callers.versions)
        print(f"{callers.commands} commands, {callers.reads} reads, behind: {dict(callers.behind)}")
        print(f"{rate} orders/s filled")
        print(f"seconds {watch.seconds}; peak MiB {watch.peaks}")
        assert not size.long or max(watch.peaks[name] for name in ("filler", "command")) <= MOST_MIB
        # A loaded machine lags. A read that is refused therefore counts as failed in a long run only.
        assert not size.long or dict(callers.behind) == {}
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


async def check_books(system: System, generation: str, versions: Mapping[str, int]) -> None:
    """Asserts that the generation has every order once, with the version and the content of the write side.

    At last it sets an order back, and asserts that this is noticed.
    """
    report = await drift(query_settings(system), sample=SAMPLE)
    assert not report.error, report.error
    assert (report.document["findings"], report.exit_code) == ([], 0)
    events, by_version = await written_orders(system)
    assert report.document["orders"] == sum(by_version.values())
    assert await read_orders(system, generation, versions) == (events, by_version, versions)
    changed = next(order_id for order_id, version in versions.items() if version > 1)
    async with Vandal.of(system) as vandal:  # as if the rebuild had missed what happened to the order meanwhile
        await vandal.plant(Kind.DOCUMENT_OLDER, changed)
    assert await read_orders(system, generation, versions) != (events, by_version, versions)


async def run(postgres_url: str, nats_url: str, elasticsearch_url: str, directory: Path, size: Size, seed: int) -> None:
    """Runs the test on its own system."""
    stores = (postgres_url, nats_url, elasticsearch_url)
    async with running_system(*stores, directory, PATIENCE, reading=False) as system:
        await rebuilt_under_load(system, size, directory, seed)


@pytest.mark.timeout(1_800)
async def test_a_rebuild_under_load_is_not_noticed(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_commands, "SAMPLE", SAMPLE)
    await run(postgres_url, nats_url, elasticsearch_url, tmp_path, Size(FEW, 10, Reads()), chosen_seed())


@pytest.mark.long
@pytest.mark.timeout(14_400)
async def test_a_rebuild_of_a_million_orders_is_not_noticed(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path
) -> None:
    size = Size(int(os.environ.get("ORDERS") or MANY), 100, FEWER_READS, long=True)
    await run(postgres_url, nats_url, elasticsearch_url, tmp_path, size, chosen_seed())
