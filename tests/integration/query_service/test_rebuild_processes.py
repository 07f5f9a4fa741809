"""Rebuilds from the exports of a real command service: by processes that are killed, and by an operator."""

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

from command_service.domain.parties import Customer
from devstack.cli.running import run
from query_service.__main__ import main
from query_service.application.ports.order_source import OrderSelection
from query_service.connections import order_source
from query_service.projection.proto_json import moment
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
    """Yields a command service with ORDERS orders, the last one of the customer LAST, whose exports are slow."""
    async with migrated_database(migrated_template) as url:
        async with application(url) as orders:
            for number in range(ORDERS):
                customer = Customer("LAST" if number == ORDERS - 1 else "C1", "Ann", "ann@example.org", "1")
                await orders.place(call(), place_order(customer=customer))
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


@contextlib.asynccontextmanager
async def caught_up(side: ReadSide) -> AsyncIterator[None]:
    """Runs a projector that gets barriers."""

    async def barriers() -> None:
        while True:
            await side.publish_barrier(datetime.now(UTC))
            await asyncio.sleep(0.2)

    publishing = asyncio.create_task(barriers())
    try:
        async with side.projecting():
            yield
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def check_equal(side: ReadSide, filling: Filling) -> None:
    """Verifies the new generation with the write side."""
    async with caught_up(side):
        report = await run_rebuild(filling.settings, "verify")
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


class Operator:
    """Types commands of `tandem` and of the query service. They run in this process, which is quicker."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    async def typed(self, *words: str, service: bool = False) -> tuple[int, str, str]:
        """Returns exit code, output and error of `tandem rebuild …`, or of `python -m query_service …`."""
        self._captured.readouterr()
        code = await asyncio.to_thread(_exit_code, words, service)
        said = self._captured.readouterr()
        return code, said.out, said.err

    async def answered(self, *words: str, service: bool = False) -> dict[str, Any]:
        """Returns the JSON answer of a command that must succeed."""
        code, out, err = await self.typed(*words, *([] if service else ["--json"]), service=service)
        assert code == 0, out + err
        document: dict[str, Any] = json.loads(out)
        return document

    async def screen(self, *words: str) -> str:
        """Returns what a command that must succeed shows, with single spaces: a line ends where it is full."""
        code, out, err = await self.typed(*words)
        assert code == 0, out + err
        return " ".join((err + out).split())

    async def refused(self, *words: str) -> str:
        """Returns what a command says that must be refused."""
        code, out, err = await self.typed(*words)
        assert (code, out) == (1, ""), out + err
        return err


def _exit_code(words: tuple[str, ...], service: bool) -> int:
    return main(list(words)) if service else run(["rebuild", *words])


@pytest.fixture
def operator(
    read_side: ReadSide, exports: CommandProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Operator:
    """Returns an operator whose variables name the test's read side and the exports."""
    changes = {"COLUMNS": "80", "TMPDIR": str(read_side.directory), "QUERY_LOG_LEVEL": "ERROR"}
    for name, value in {**read_side.environment(export_address=exports.exports), **changes}.items():
        monkeypatch.setenv(name, value)
    return Operator(capsys)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # a filling outlives its command
async def test_an_operator_types_a_rebuild(read_side: ReadSide, operator: Operator) -> None:
    assert await operator.screen("status") == "The read model was never rebuilt."
    assert await operator.answered("status") == {"rebuild": None}
    begun = await operator.screen("start")
    assert "filling in the background (process " in begun
    assert "g1 into g2; g1 answers readers" in begun

    async def is_filled() -> bool:
        shown = (await operator.answered("status"))["rebuild"]
        assert shown["phase"] in ("FILLING", "CATCHING_UP"), shown
        return bool(shown["phase"] == "CATCHING_UP")

    await eventually(is_filled, "a filled generation")
    shown = await operator.screen("status")
    assert "phase CATCHING_UP" in shown
    assert f"orders {ORDERS} of {ORDERS}, " in shown
    assert "the rebuild of g1 into g2 is not over" in await operator.refused("start")
    assert "g2 is not verified; run `tandem rebuild verify`" in await operator.refused("switch")
    code, out, _ = await operator.typed("finish", "--json")
    assert (code, json.loads(out)["exit_code"]) == (1, 1)
    assert "g2 does not answer readers; there is nothing to finish" in json.loads(out)["error"]
    async with caught_up(read_side):
        assert f"compared {ORDERS} orders, 0 differ" in await operator.screen("verify")
        await move(read_side, operator)


async def move(side: ReadSide, operator: Operator) -> None:
    """Moves the readers of a verified rebuild there, back, and there again, and finishes it."""
    generations = side.store.generations
    assert "phase SWITCHED generations g1 into g2; g2 answers readers" in await operator.screen("switch")
    assert await generations.serving() == "g2"
    assert (await operator.answered("rollback"))["rebuild"]["phase"] == "ROLLED_BACK"
    assert await generations.serving() == "g1"
    assert "g1 answers readers again; run `tandem rebuild switch` first" in await operator.refused("finish")
    switched = (await operator.answered("switch"))["rebuild"]
    assert (switched["phase"], switched["serving"], switched["problem"]) == ("SWITCHED", "g2", "")
    assert "g2 answers readers; run `tandem rebuild rollback` first" in await operator.refused("cancel")
    assert "phase FINISHED" in await operator.screen("finish")
    assert await generations.serving() == "g2"
    assert (await operator.answered("status"))["rebuild"]["phase"] == "FINISHED"


async def test_an_operator_projects_some_orders_again(
    read_side: ReadSide, exports: CommandProcess, operator: Operator
) -> None:
    async with order_source(read_side.settings(export_address=exports.exports)) as source:
        [page] = [page async for page in source.heads(OrderSelection(customer_id="LAST"))]
    [last] = [head.order_id for head in page.heads]
    one = {"orders": 1, "results": {"REPROJECTED": 1}, "not_reprojected": []}
    assert await operator.screen("order", last) == "1 orders: 1 reprojected"
    [stored] = await read_side.store.orders([last])
    assert stored.document is not None
    time = moment(stored.document["recorded_at"]).astimezone(UTC).isoformat()
    assert await operator.screen("customer", "C1") == f"{ORDERS - 1} orders: {ORDERS - 1} reprojected"
    assert await operator.answered("range", "--from", time) == one
    assert (await operator.answered("range", "--until", time))["results"] == {"REPROJECTED": ORDERS - 1}
    assert await operator.answered("reproject", "customer", "LAST", service=True) == one
    code, out, err = await operator.typed("range", "--from", "yesterday")
    assert (code, out, "write 2026-01-31T12:00:00Z" in err) == (2, "", True), err
    with pytest.raises(SystemExit, match="2"):
        await operator.typed("reproject", "range", "--from", "yesterday", service=True)
