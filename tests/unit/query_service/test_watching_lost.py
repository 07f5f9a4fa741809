"""Watching past changes that no read will show, and changes that the stream no longer has."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from query_service.application.ports.errors import ResumeTokenExpired
from query_service.application.watching.list_marks import ListMarks
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.settled import Settled
from query_service.application.watching.watch_orders import WatchOrders
from tests.support.queries.watch_world import CREATED, ORDERS, World
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def passing_what_is_lost() -> None:
    """A change was discarded, or its order removed: before the watch begins, and while it goes on."""
    world = World()
    await world.write(0, 1)
    world.stream.add(ORDERS[1], 1)
    await world.claim()
    watched = world.watching()
    await watched.next()
    await world.write(0, 2)
    assert await watched.changes(1) == ["02"], "the watch is stuck"
    world.stream.add(ORDERS[1], 2)
    await world.write(0, 3)
    assert await watched.is_silent(), "it may still be applied"
    await world.claim()
    assert await watched.changes(1) == ["03"]


def test_a_change_that_no_read_will_show_stops_nothing() -> None:
    passing_what_is_lost()


@in_virtual_time
async def passing_what_is_parked() -> None:
    """The store knows that a change is parked before this process does."""
    world = World()
    watched = world.watching()
    await watched.next()
    parked = world.stream.add(ORDERS[1], 1)
    await world.park(parked)
    await world.write(0, 1)
    await world.claim()
    assert await watched.changes(1) == ["01"]
    token = watched.token
    await world.apply(parked)
    assert await watched.changes(1) == ["11"]
    assert await world.watching(token).changes(1) == ["11"]


def test_a_parked_change_is_not_taken_for_a_lost_one() -> None:
    passing_what_is_parked()


@in_virtual_time
async def switching_the_generation() -> None:
    """The freshness is of one generation, and the look-ups ask another, which lacks the change."""
    world = World()
    watched = world.watching()
    await watched.next()
    late = world.stream.add(ORDERS[1], 1)
    await world.claim()
    freshness = await world.store.freshness()
    assert freshness is not None
    asked = 0

    async def switched() -> object:
        nonlocal asked
        asked += 1
        return replace(freshness, generation="g1" if asked == 1 else "g2", sequence=late.sequence if asked == 1 else 0)

    world.store.freshness = switched  # type: ignore[assignment,method-assign]
    await asyncio.sleep(10)
    await world.apply(late)
    assert await watched.changes(1) == ["11"], "a change is lost"


def test_a_switch_of_the_generation_loses_nothing() -> None:
    switching_the_generation()


@in_virtual_time
async def discarding_what_is_parked() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    parked = world.stream.add(ORDERS[1], 1)
    await world.park(parked)
    world.parked.add(ORDERS[1], 1)
    await world.write(0, 1)
    await world.claim()
    assert await watched.changes(1) == ["01"]
    assert list(watched.point.owed) == [parked.sequence]
    for event in await world.store.parked(ORDERS[1]):
        await world.store.unpark(event)
    world.parked.replace({})
    await asyncio.sleep(2)
    await watched.is_silent()
    assert list(watched.point.owed) == []


def test_what_was_discarded_is_owed_no_longer() -> None:
    discarding_what_is_parked()


@in_virtual_time
async def resuming_after_a_parked_change_has_left_the_stream() -> None:
    world = World()
    await world.park(world.stream.add(ORDERS[1], 1))
    world.parked.add(ORDERS[1], 1)
    watched = world.watching()
    await watched.next()
    for version in (1, 2, 3):
        await world.write(0, version)
    assert await watched.changes(3) == ["01", "02", "03"]
    running, marks = watched.point, ListMarks()
    assert running.owed == (1,)
    await world.claim()
    freshness = await world.store.freshness()
    marks.observe(freshness, [1])
    world.stream.first = 4
    await world.write(0, 4)
    assert await world.watching(watched.token).changes(1) == ["04"]
    assert await world.watching(marks.token(freshness)).changes(1) == ["04"]
    await watched.leave()
    assert await world.watching(marks.token(freshness)).changes(1) == ["04"]
    with pytest.raises(ResumeTokenExpired):
        await world.watching(ResumePoint(CREATED, 2).token()).next()


def test_a_parked_change_that_has_left_the_stream_expires_no_token() -> None:
    resuming_after_a_parked_change_has_left_the_stream()


@pytest.mark.mutant
def test_mutant_waiting_for_what_never_comes_is_noticed() -> None:
    with noticed(Mutant(Settled.__call__, "if not old:", "if True:"), or_raises=(StopAsyncIteration,)):
        passing_what_is_lost()


@pytest.mark.mutant
def test_mutants_that_lose_a_change_are_noticed() -> None:
    with noticed(
        Mutant(Settled.__call__, "change.edition[1] in parked[change.order_id]", "False"),
        or_raises=(StopAsyncIteration,),
    ):
        passing_what_is_parked()
    with noticed(
        Mutant(Settled.__call__, "or now.generation != known.generation", ""), or_raises=(StopAsyncIteration,)
    ):
        switching_the_generation()


@pytest.mark.mutant
def test_mutant_owing_what_has_left_the_stream_is_noticed() -> None:
    with noticed(
        Mutant(WatchOrders._possible, "if point.position + 1 <", "if min((point.position + 1, *point.owed)) <"),
        or_raises=(ResumeTokenExpired,),
    ):
        resuming_after_a_parked_change_has_left_the_stream()
