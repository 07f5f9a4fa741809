"""A rebuild on real servers, under writes, with readers who must notice nothing but better freshness."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from query_service import rebuild_commands
from query_service.rebuild_commands import RebuildReport, run_rebuild
from tests.support.queries.query_client import token_of
from tests.support.queries.query_serving import serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side
from tests.support.queries.write_side import WriteSide

__all__ = ["empty_read_side", "read_side"]


@pytest.fixture
def write_side(read_side: ReadSide, monkeypatch: pytest.MonkeyPatch) -> WriteSide:
    """Returns a write side whose exports the rebuild's commands read."""
    written = WriteSide(read_side)

    @contextlib.asynccontextmanager
    async def order_source(settings: Any) -> AsyncIterator[WriteSide]:
        yield written

    monkeypatch.setattr(rebuild_commands, "order_source", order_source)
    return written


async def done(side: ReadSide, action: str, **how: Any) -> RebuildReport:
    """Runs an action that must succeed."""
    report = await run_rebuild(side.settings(), action, **how)
    assert (report.exit_code, report.error) == (0, "")
    return report


class Readers:
    """Reads all the time by id and in lists, with tokens, and remembers every answer that was wrong."""

    def __init__(self, stub: Any, written: WriteSide) -> None:
        self._stub, self._written = stub, written
        self.answers: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    async def write_and_read(self) -> None:
        """Commits a change, and reads it by id and in a list with its token, again and again."""
        chance = random.Random(7)
        while True:
            known = sorted(self._written.journal)
            event = await self._written.change(chance.choice([*known[:20], ""]))
            options = token_of(event)
            begun = time.time()
            found = await self._stub.GetOrder(
                contract.GetOrderRequest(order_id=event.order_id, read_options=options), timeout=60
            )
            assert found.order.version >= event.version
            self._check(found.read_info, begun)
            listed = await self._stub.SearchOrders(
                contract.SearchOrdersRequest(
                    filter=contract.OrderFilter(order_ids=[event.order_id]), read_options=options
                ),
                timeout=60,
            )
            assert [order.version for order in listed.orders] >= [event.version]
            self._check(listed.read_info, begun)

    def _check(self, info: contract.ReadInfo, begun: float) -> None:
        assert not info.stale
        assert info.generation in ("g1", "g2")
        self.answers[info.generation] = self.answers.get(info.generation, 0) + 1
        assert info.as_of.ToNanoseconds() / 1e9 <= time.time()


async def test_readers_notice_nothing_of_a_rebuild_a_switch_and_a_rollback(
    read_side: ReadSide, write_side: WriteSide, unused_tcp_port: int
) -> None:
    side = read_side
    for _ in range(150):
        await write_side.change()
    async with (
        write_side.barriers(),
        side.projecting(),
        serving(side, unused_tcp_port),
        grpc.aio.insecure_channel(f"127.0.0.1:{unused_tcp_port}", options=channel_options()) as channel,
    ):
        readers = Readers(stubs.OrderQueryServiceStub(channel), write_side)
        reading = asyncio.create_task(readers.write_and_read())

        async def read_from(generation: str) -> None:
            before = readers.answers.get(generation, 0)

            async def answered() -> bool:
                if reading.done():
                    reading.result()
                return readers.answers.get(generation, 0) >= before + 10

            await eventually(answered, f"answers of {generation}")

        try:
            await read_from("g1")
            report = await done(side, "start", workers=3)
            assert report.rebuild is not None
            assert report.rebuild["phase"] == "CATCHING_UP"
            assert report.rebuild["filled_orders"] >= 150
            refused = await run_rebuild(side.settings(), "switch")
            assert (refused.exit_code, "not verified" in refused.error) == (1, True)
            report = await done(side, "verify")
            assert report.rebuild is not None
            assert report.rebuild["phase"] == "VERIFIED"
            await done(side, "switch")
            await read_from("g2")
            await done(side, "rollback")
            await read_from("g1")
            assert "rebuild switch" in (await run_rebuild(side.settings(), "finish")).error
            await done(side, "switch")
            await read_from("g2")
            await done(side, "finish")
            await read_from("g2")
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        status = await stubs.OrderQueryServiceStub(channel).GetReadModelStatus(
            contract.GetReadModelStatusRequest(), timeout=60
        )
        assert status.generation == "g2"
