"""Turns at the connections: first come, first served, no turn is lost, and patience and the crowd are limited."""

from __future__ import annotations

import asyncio

import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from command_service.storage.connection.connections import CommandPool
from command_service.storage.connection.turns import Turns
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def check_first_come_first_served() -> None:
    turns, served = Turns(2, 10), list[int]()

    async def caller(number: int) -> None:
        await turns.take(60.0)
        served.append(number)

    callers = [asyncio.create_task(caller(number)) for number in range(5)]
    await settled()
    assert (served, turns.waiting) == ([0, 1], 3)
    for _ in range(3):
        turns.give_back()
    await asyncio.gather(*callers)
    assert (served, turns.waiting) == ([0, 1, 2, 3, 4], 0)
    turns.give_back()
    turns.give_back()
    await turns.take(0.1)
    await turns.take(0.1)
    with pytest.raises(PoolTimeout):
        await turns.take(0.1)


@in_virtual_time
async def test_first_come_first_served() -> None:
    await check_first_come_first_served()


async def check_no_turn_is_lost() -> None:
    """Callers leave while they wait, before they know of their turn, and too late."""
    turns = Turns(1, 10)
    await turns.take(60.0)
    waiting, leaving, late = (asyncio.create_task(turns.take(60.0)) for _ in range(3))
    await settled()
    waiting.cancel()
    await settled()
    assert turns.waiting == 2
    leaving.cancel()  # it does not know yet
    turns.give_back()  # so the turn is that of the next one
    late.cancel()  # which leaves at the same moment
    ended = await asyncio.gather(waiting, leaving, late, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    assert await turns.take(1.0) == 1.0
    assert turns.waiting == 0


@in_virtual_time
async def test_no_turn_is_lost() -> None:
    await check_no_turn_is_lost()


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        (Turns.give_back, "if not turn.done():", "if True:"),
        (Turns.take, "elif turn.exception() is None:", "elif False:"),
        (Turns.take, "self._waiting.remove(turn)", "pass"),
    ],
)
@in_virtual_time
async def test_a_lost_turn_is_noticed(function: object, old: str, new: str) -> None:
    assert callable(function)
    with noticed(Mutant(function, old, new), or_raises=(asyncio.InvalidStateError, PoolTimeout)):
        await check_no_turn_is_lost()


async def check_patience_is_limited() -> None:
    turns = Turns(1, 2)
    await turns.take(1.0)
    impatient, patient = asyncio.create_task(turns.take(1.0)), asyncio.create_task(turns.take(5.0))
    await settled()
    with pytest.raises(TooManyRequests):
        await turns.take(1.0)
    with pytest.raises(PoolTimeout):
        await impatient
    assert turns.waiting == 1
    turns.give_back()
    assert 0 < await patient <= 5.0


@in_virtual_time
async def test_patience_and_the_crowd_are_limited() -> None:
    await check_patience_is_limited()


async def check_a_turn_without_a_connection_is_given_back() -> None:
    pool = CommandPool("", open=False, min_size=1, max_size=1, max_waiting=10, timeout=5.0)
    for _ in range(2):
        with pytest.raises(PoolClosed):
            async with pool.conversation():
                pass


@in_virtual_time
async def test_a_turn_without_a_connection_is_given_back() -> None:
    await check_a_turn_without_a_connection_is_given_back()


@pytest.mark.mutant
@in_virtual_time
async def test_a_turn_that_is_kept_without_a_connection_is_noticed() -> None:
    kept = Mutant(CommandPool._connection, "self._turns.give_back()", "pass")
    with noticed(kept, or_raises=(PoolTimeout,)):
        await check_a_turn_without_a_connection_is_given_back()
