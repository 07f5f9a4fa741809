"""Rebuilds by processes that are killed by SIGKILL, from the exports of a real command service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from query_service.rebuild_commands import run_rebuild
from tests.fixtures.command_process import ANY_PORT, CommandProcess, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import migrated_database
from tests.support.commands.command_application import application, call, place_order
from tests.support.queries.read_side import QueryProcess, ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]

ORDERS = 32
#: So a filling takes a while, and a kill meets it.
ORDERS_A_SECOND = 64
SHORT_LEASES = "tests.support.queries.short_leases"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exports(migrated_template: Templates) -> AsyncIterator[CommandProcess]:
    """Yields a command service with ORDERS orders, whose exports are slow."""
    async with migrated_database(migrated_template) as url:
        async with application(url) as orders:
            for _ in range(ORDERS):
                await orders.place(call(), place_order())
        async with serving(url, export_listen=ANY_PORT, export_orders_per_second=str(ORDERS_A_SECOND)) as process:
            yield process


class Filling:
    """Starts processes that fill, and looks at the state that they leave."""

    def __init__(self, side: ReadSide, exports: CommandProcess, module: str) -> None:
        self._side, self._module, self._address = side, module, exports.exports
        self.settings = side.settings(export_address=self._address)

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncIterator[QueryProcess]:
        """Runs `rebuild start` as a process."""
        arguments = ("rebuild", "start")
        async with self._side.process(*arguments, module=self._module, export_address=self._address) as process:
            yield process

    async def filled(self) -> int:
        """Returns how many orders are filled; -1 before the rebuild begins."""
        found = (await run_rebuild(self.settings, "status")).rebuild
        return -1 if found is None or not found["orders"] else int(found["filled_orders"])

    async def killed(self, orders: int, after: float = 0.0) -> None:
        """Runs a process, and kills it when so many orders are filled and `after` seconds are over."""
        async with self.process() as process:

            async def reached() -> bool:
                return process.process.returncode is not None or await self.filled() >= orders

            await eventually(reached, f"{orders} orders")
            await asyncio.sleep(after)
            await process.kill()

    async def ended(self) -> dict[str, Any]:
        """Runs a process to its end; returns the rebuild that it printed."""
        async with self.process() as process:
            code = await process.ended()
            assert code == 0, process.log
            found: dict[str, Any] = json.loads(process.log[process.log.index("{\n") :])["rebuild"]
            return found


async def check_equal(side: ReadSide, filling: Filling) -> None:
    """Verifies the new generation with the write side."""

    async def barriers() -> None:
        while True:
            await side.publish_barrier(datetime.now(UTC))
            await asyncio.sleep(0.2)

    publishing = asyncio.create_task(barriers())
    try:
        async with side.projecting():
            report = await run_rebuild(filling.settings, "verify")
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    assert (report.exit_code, report.error) == (0, "")
    assert report.rebuild is not None
    assert (report.rebuild["phase"], report.rebuild["compared_orders"]) == ("VERIFIED", ORDERS)


async def test_a_killed_process_is_followed_by_one_that_waits_for_its_leases(
    read_side: ReadSide, exports: CommandProcess
) -> None:
    filling = Filling(read_side, exports, SHORT_LEASES)
    await filling.killed(1)
    end = await filling.ended()
    assert (end["phase"], end["filled_orders"]) == ("CATCHING_UP", ORDERS)
    await check_equal(read_side, filling)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
async def test_processes_are_killed_again_and_again(read_side: ReadSide, exports: CommandProcess, seed: int) -> None:
    chance = random.Random(seed)
    filling = Filling(read_side, exports, "query_service")
    for orders in sorted(chance.randrange(-1, ORDERS) for _ in range(3)):
        await filling.killed(orders, chance.random())
    left = await run_rebuild(filling.settings, "status")
    assert left.rebuild is not None
    if left.rebuild["phase"] != "CATCHING_UP":
        left = await run_rebuild(filling.settings, "start")
    assert left.rebuild is not None
    assert (left.rebuild["phase"], left.rebuild["filled_orders"]) == ("CATCHING_UP", ORDERS)
    await check_equal(read_side, filling)
