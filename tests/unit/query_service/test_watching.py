"""Watching without servers, in virtual time: when changes pass, slow watchers, and joining from the stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from query_service.application.ports.errors import (
    ResumeTokenExpired,
    TooManyWatchers,
    WatcherTooSlow,
)
from query_service.application.ports.read_store import ShownOrder
from query_service.application.watching.change import Change, read_message
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.front import MOST_WAITING_BYTES, Front
from query_service.application.watching.resume_token import ResumePoint
from query_service.application.watching.watcher import Watcher
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from tests.support.queries.watch_world import CREATED, ORDERS, Sent, Stream, World, encode
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_change_is_sent_when_it_is_applied_and_not_before() -> None:
    world = World()
    watched = world.watching()
    assert await watched.is_silent()
    message = world.stream.add(ORDERS[0], 1)
    assert await watched.is_silent()
    await world.apply(message)
    assert await watched.next() == "01"


@pytest.mark.mutant
def test_mutant_sending_before_the_change_is_applied_is_noticed() -> None:
    with noticed(Mutant(Front.advance, "elif is_readable(item, shown[item.order_id]):", "elif True:")):
        test_a_change_is_sent_when_it_is_applied_and_not_before()


@in_virtual_time
async def test_a_lost_notice_delays_a_change_and_loses_nothing() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    message = world.stream.add(ORDERS[0], 1)
    await asyncio.sleep(1)
    await world.store.apply([project(read_event(message.headers, message.body))])
    assert await watched.next() == "01"


@in_virtual_time
async def test_a_watcher_from_now_on_gets_nothing_of_before() -> None:
    world = World()
    for version in (1, 2, 3):
        await world.write(0, version)
    watched = world.watching()
    await watched.next()
    await world.write(1, 1)
    assert await watched.next() == "11"


@in_virtual_time
async def test_a_parked_change_holds_back_no_other_order_and_comes_before_later_versions_of_its_own() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    parked = world.stream.add(ORDERS[0], 1)
    world.parked.add(ORDERS[0], 1)
    await world.write(1, 1)
    assert await watched.next() == "11"
    token = watched.token
    await world.write(0, 2)
    assert await watched.changes(2) == ["01", "02"]
    resumed = world.watching(token)
    assert await resumed.changes(2) == ["01", "02"]
    world.parked.replace({})
    parked_again = world.stream.add(ORDERS[2], 1)
    world.parked.add(ORDERS[2], 1)
    await world.write(1, 2)
    assert await watched.next() == "12"
    await world.apply(parked_again)
    assert await watched.next() == "21"
    assert parked.sequence == 1


@in_virtual_time
async def test_watches_are_limited_and_a_place_that_is_free_again_is_given() -> None:
    world = World(watchers=1)
    watched = world.watching()
    await watched.next()
    with pytest.raises(TooManyWatchers):
        await world.watching().next()
    await watched.leave()
    assert await world.watching().is_silent()


@in_virtual_time
async def test_the_stream_is_read_only_while_somebody_watches() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    assert world.live._run is not None
    await watched.leave()
    assert world.live._run is None
    assert len(world.board) == 0


# -- slow watchers -------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_slow_watcher_of_every_change_is_ended_and_resumes_without_gap_or_repetition() -> None:
    world = World(most=10, kept=10)
    watched = world.watching()
    await watched.next()
    await world.write(0, 1)
    assert await watched.next() == "01"
    for version in range(2, 40):
        await world.write(0, version)
        await asyncio.sleep(0.3)
    with pytest.raises(WatcherTooSlow) as ended:
        await watched.changes(39)
    assert ended.value.resume_token == watched.token
    resumed = world.watching(watched.token)
    assert await resumed.changes(38) == [f"0{version}" for version in range(2, 40)]


@in_virtual_time
async def test_a_slow_watcher_of_latest_states_gets_the_last_one_of_each_order() -> None:
    world = World(most=10, kept=10)
    watched = world.watching(latest=True)
    await watched.next()
    await world.write(0, 1)
    assert await watched.next() == "01"
    for version in range(2, 40):
        for order in (0, 1):
            await world.write(order, version)
        await asyncio.sleep(0.3)
    assert await watched.changes(2) == ["039", "139"]
    resumed = world.watching(watched.token)
    await resumed.next()
    await world.write(2, 1)
    assert await resumed.next() == "21"


@in_virtual_time
async def test_a_watcher_of_latest_states_is_ended_too_when_it_lags_by_too_many_orders() -> None:
    world = World(most=3, kept=3)
    watched = world.watching(latest=True)
    await watched.next()
    await world.write(0, 1)
    assert await watched.next() == "01"
    for order in range(1, 5):
        await world.write(order, 1)
        await asyncio.sleep(0.3)
    with pytest.raises(WatcherTooSlow):
        await watched.changes(4)


async def unsettled(_: Sequence[Change]) -> dict[int, bool]:
    return {}


async def shown(_: Sequence[str]) -> list[ShownOrder]:
    return [ShownOrder((9, 9))] * len(_)


@in_virtual_time
async def test_all_buffers_together_are_bounded() -> None:
    front = Front(shown, lambda order_id, version: False, unsettled, 0)
    fan_out = FanOut(front, CREATED, lambda *parts: encode(*parts).ljust(100), budget=450)
    slow, slower = (Watcher(lambda order: True, fan_out.present(), fan_out.buffered) for _ in range(2))
    assert fan_out.attach(slower)
    stream = Stream()
    for version in range(1, 5):
        front.arrived(read_message(stream.add(ORDERS[0], version)))
    fan_out.publish(await front.advance())
    assert fan_out.attach(slow)
    assert fan_out.buffered.bytes == 400, "a change that two watchers hold counts once"
    assert await slow.next(1) is not None
    front.arrived(read_message(stream.add(ORDERS[0], 5)))
    fan_out.publish(await front.advance())
    assert slower.ended is not None
    assert slow.ended is None
    assert fan_out.buffered.bytes == 400


@in_virtual_time
async def keeping_large_changes() -> None:
    stream = Stream()
    messages = [read_message(stream.add(ORDERS[0], version)) for version in range(1, 10)]
    size = next(message.size for message in messages if isinstance(message, Change))
    front = Front(shown, lambda order_id, version: False, unsettled, 0)
    fan_out = FanOut(front, CREATED, encode, kept_bytes=3 * size)
    for message in messages:
        front.arrived(message)
    fan_out.publish(await front.advance())
    assert [fan_out.covers(position) for position in (5, 6)] == [False, True]
    late = Watcher(lambda order: True, ResumePoint(CREATED, 6), fan_out.buffered)
    assert fan_out.attach(late)
    assert [parcel.point.position for _ in range(3) if (parcel := await late.next(1))] == [7, 8, 9]


def test_large_changes_are_not_all_kept() -> None:
    keeping_large_changes()


@in_virtual_time
async def test_few_large_changes_fill_the_front() -> None:
    front = Front(shown, lambda order_id, version: False, unsettled, 0)
    large = Sent(1, Stream().add(ORDERS[0], 1).headers, b"x" * (MOST_WAITING_BYTES // 3))
    for _ in range(3):
        front.arrived(read_message(large))
        assert not front.is_full
    front.arrived(read_message(large))
    assert front.is_full
    await front.advance()
    assert not front.is_full


@pytest.mark.mutant
def test_mutant_keeping_changes_of_any_size_is_noticed() -> None:
    with noticed(Mutant(FanOut._keep, "or self._kept_bytes > self._most_kept_bytes", "")):
        keeping_large_changes()


# -- joining -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def resuming_anywhere() -> None:
    """Lets watchers resume from every place, over what is kept and what is not, while orders change."""
    world = World(kept=7)
    chance = random.Random(5)
    first = world.watching()
    await first.next()
    tokens, expected = [first.token], []
    versions = dict.fromkeys(range(5), 0)

    async def write() -> None:
        order = chance.randrange(5)
        versions[order] += 1
        if chance.random() < 0.2:
            world.stream.add_barrier()
        await world.write(order, versions[order])
        expected.append(f"{order}{versions[order]}")

    for _ in range(40):
        await write()
        assert await first.changes(1) == expected[-1:]
        tokens.append(first.token)
    resumed = [world.watching(token) for token in tokens]
    starting = [asyncio.create_task(watched.changes(len(expected) - place)) for place, watched in enumerate(resumed)]
    before = len(expected)
    for _ in range(20):
        await write()
        await asyncio.sleep(0.002)
    for place, begun in enumerate(starting):
        assert await begun == expected[place:before]
    for watched in resumed:
        assert await watched.changes(20) == expected[before:]


def test_a_watch_resumes_from_every_place_without_gap_or_repetition() -> None:
    resuming_anywhere()


@pytest.mark.mutant
def test_mutant_joining_one_too_late_misses_a_change() -> None:
    with noticed(Mutant(FanOut.covers, "self._kept_after", "self._kept_after - 1"), or_raises=(StopAsyncIteration,)):
        resuming_anywhere()


@in_virtual_time
async def test_another_process_goes_on_where_the_first_one_was() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    for version in (1, 2, 3):
        await world.write(0, version)
    assert await watched.changes(2) == ["01", "02"]
    token = watched.token
    await watched.leave()
    await world.claim()  # the next run begins after all that
    resumed = world.watching(token)
    await world.write(1, 1)
    assert await resumed.changes(2) == ["03", "11"]


@in_virtual_time
async def test_a_process_that_lags_does_not_repeat_what_another_one_has_sent() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    first = world.stream.add(ORDERS[0], 1)
    ahead = ResumePoint(CREATED, first.sequence).token()  # another process found it applied already
    resumed = world.watching(ahead)
    await resumed.next()
    await world.apply(first)
    await world.write(0, 2)
    assert await watched.changes(2) == ["01", "02"]
    assert await resumed.changes(1) == ["02"]


@in_virtual_time
async def owing_what_is_to_come() -> None:
    """A token of a process that is further ahead owes changes that this process has not come to."""
    world = World()
    watched = world.watching()
    await watched.next()
    messages = [world.stream.add(ORDERS[order], version) for order, version in ((0, 1), (0, 2), (1, 1), (1, 2))]
    ahead = world.watching(ResumePoint(CREATED, 4, (2, 4)).token())
    await ahead.next()
    waiting = asyncio.create_task(ahead.next())
    await asyncio.sleep(0.1)
    await world.apply(*messages)
    assert await watched.changes(4) == ["01", "02", "11", "12"]
    assert await waiting == "02"
    assert ahead.point == ResumePoint(CREATED, 4, (4,))
    assert await ahead.next() == "12"
    assert ahead.point == ResumePoint(CREATED, 4)
    assert await watched.is_silent()
    assert await ahead.is_silent()


def test_what_a_token_owes_and_the_front_has_not_come_to_is_sent_once() -> None:
    owing_what_is_to_come()


@pytest.mark.mutant
def test_mutant_setting_aside_what_is_to_come_is_noticed() -> None:
    with noticed(Mutant(FanOut.has, "sequence > self._position\n", "False\n")):
        owing_what_is_to_come()


@in_virtual_time
async def test_a_token_of_a_stream_that_is_gone_is_expired() -> None:
    world = World()
    for version in (1, 2, 3):
        await world.write(0, version)
    await world.claim()
    for point in (ResumePoint(CREATED - 1, 2), ResumePoint(CREATED, 99)):
        with pytest.raises(ResumeTokenExpired):
            await world.watching(point.token()).next()
    world.stream.first = 3
    with pytest.raises(ResumeTokenExpired):
        await world.watching(ResumePoint(CREATED, 1).token()).next()
    assert await world.watching(ResumePoint(CREATED, 2).token()).changes(1) == ["03"]
