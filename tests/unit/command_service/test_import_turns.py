"""Orders of one identity are imported in the order sent; all others at once."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

from command_service.handlers.import_turns import ImportTurns

FIRST = ImportOrdersRequest(request_id="r1", order_id="o1", source="shop", order_number="1")


@pytest.mark.parametrize(
    ("second", "waits"),
    [
        (ImportOrdersRequest(request_id="R1"), True),
        (ImportOrdersRequest(request_id="r2", order_id="O1"), True),
        (ImportOrdersRequest(request_id="r2", source="shop", order_number="1"), True),
        (ImportOrdersRequest(request_id="r2", order_id="o2", source="shop", order_number="2"), False),
        (ImportOrdersRequest(request_id="r2", order_id="o2", source="fair", order_number="1"), False),
    ],
)
async def test_who_waits(second: ImportOrdersRequest, waits: bool) -> None:
    turns, go, done = ImportTurns(), asyncio.Event(), list[str]()

    async def slow() -> str:
        await go.wait()
        done.append("first")
        return "first"

    async def quick() -> str:
        done.append("second")
        return "second"

    tasks = [turns.start(FIRST, slow), turns.start(second, quick)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == ([] if waits else ["second"])
    go.set()
    assert await asyncio.gather(*tasks) == ["first", "second"]
    assert done == (["first", "second"] if waits else ["second", "first"])
    await asyncio.sleep(0)
    assert not turns._latest


async def test_a_failed_or_cancelled_order_lets_the_next_one_go() -> None:
    turns = ImportTurns()

    async def failing() -> None:
        raise ValueError

    async def never() -> None:
        await asyncio.Event().wait()

    async def fine() -> int:
        return 1

    failed, cancelled, waiting = (turns.start(FIRST, work) for work in (failing, never, never))
    with pytest.raises(ValueError):
        await failed
    cancelled.cancel()
    waiting.cancel()
    assert await turns.start(FIRST, fine) == 1


def test_orders_given_up_before_their_turn_leave_no_word_in_the_log() -> None:
    """As when a stream is torn down that has just been read from."""

    async def importing() -> None:
        await asyncio.Event().wait()

    async def torn_down() -> None:
        turns = ImportTurns()
        tasks = [turns.start(FIRST, importing) for _ in range(3)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with asyncio.Runner() as runner:
            runner.run(torn_down())
        gc.collect()
    assert [str(warning.message) for warning in told] == []
