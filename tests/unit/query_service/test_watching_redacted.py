"""Watching orders that are redacted: whichever way a change takes to a watcher, it arrives without personal data."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from query_service.application.ports.label_conditions import LabelCondition
from query_service.application.ports.order_matching import matcher
from query_service.application.ports.order_questions import OrderCriteria
from query_service.application.watching import change
from query_service.application.watching.catch_up import FRESH_SECONDS, CatchUp
from query_service.application.watching.fan_out import FanOut
from query_service.application.watching.wanted import wanted
from query_service.application.watching.watcher import Watcher
from query_service.projection.project import project
from query_service.projection.stream_event import read_event
from tests.support.queries.watch_world import ORDERS, Stream, World
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

#: The front tells nobody of the redactions that it finds.
SILENT_FRONT = Mutant(FanOut.saw_redacted, "return order_id in self._redacted", "return False")


@in_virtual_time
async def resuming(kept: int) -> None:
    """Resumes before a redaction: from what the process keeps, or from the stream."""
    world = World(kept=kept)
    watched = world.watching()
    await watched.next()
    token = watched.token
    await world.write(0, 1)
    await world.write(1, 1)
    await world.write(0, 2)
    assert await watched.changes(3) == ["01", "11", "02"]
    await world.redact(0, 3)
    assert await watched.changes(1) == ["03-"]
    resumed = world.watching(token)
    assert await resumed.changes(4) == ["01-", "11", "02-", "03-"], "personal data is sent"


@pytest.mark.parametrize("kept", [500, 1])
def test_a_watch_that_resumes_gets_nothing_personal_of_a_redacted_order(kept: int) -> None:
    resuming(kept)


@in_virtual_time
async def resuming_in_another_process() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    token = watched.token
    await world.write(0, 1)
    await watched.leave()
    await world.redact(0, 2)
    assert await world.watching(token).changes(2) == ["01-", "02-"], "personal data is sent"


def test_another_process_sends_nothing_personal_of_a_redacted_order() -> None:
    resuming_in_another_process()


@in_virtual_time
async def redacting_what_waits_in_a_buffer() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    await world.write(2, 1)
    assert await watched.changes(1) == ["21"]
    token = watched.token
    await world.write(0, 1)
    await world.write(1, 1)
    await asyncio.sleep(1)  # both wait in the buffer
    await world.redact(0, 2)
    await asyncio.sleep(1)
    assert [response async for response in watched.responses] == [], "personal data is sent"
    resumed = world.watching(token)
    assert await resumed.changes(3) == ["01-", "11", "02-"]


def test_what_waits_for_a_slow_watcher_is_not_sent_as_it_was() -> None:
    redacting_what_waits_in_a_buffer()


@in_virtual_time
async def test_a_watcher_with_nothing_of_the_redacted_order_goes_on() -> None:
    world = World()
    watched = world.watching(orders=[1])
    await watched.next()
    await world.write(0, 1)
    await world.write(1, 1)
    assert await watched.changes(1) == ["11"]
    await world.write(1, 2)
    await asyncio.sleep(1)
    await world.redact(0, 2)
    await world.write(1, 3)
    await asyncio.sleep(1)
    assert await watched.changes(2) == ["12", "13"]


@in_virtual_time
async def test_changes_after_a_redaction_end_no_watch() -> None:
    world = World()
    watched = world.watching()
    await watched.next()
    await world.write(0, 1)
    assert await watched.changes(1) == ["01"]
    await world.redact(0, 2)
    await asyncio.sleep(1)
    await world.redact(0, 3)
    await asyncio.sleep(1)
    assert await watched.changes(2) == ["02-", "03-"]


@in_virtual_time
async def redacting_while_a_slow_watcher_catches_up(seconds: float) -> None:
    world = World(kept=1)
    watched = world.watching()
    await watched.next()
    token = watched.token
    for version in (1, 2, 3):
        await world.write(0, version)
        assert await watched.changes(1) == [f"0{version}"]
    await world.write(1, 1)
    assert await watched.changes(1) == ["11"]
    resumed = world.watching(token)
    assert await resumed.changes(1) == ["01"]
    await world.redact(0, 4)
    await asyncio.sleep(seconds)  # the watcher reads slowly
    assert await resumed.changes(4) == ["02-", "03-", "11", "04-"], "personal data is sent"


@pytest.mark.parametrize("seconds", [FRESH_SECONDS / 5, FRESH_SECONDS * 2])
def test_a_redaction_reaches_a_slow_watcher_that_catches_up(seconds: float) -> None:
    redacting_while_a_slow_watcher_catches_up(seconds)


@in_virtual_time
async def owing_a_change() -> None:
    """A parked change becomes readable by a redaction, for a watcher that is there and for one whose token owes it."""
    world = World()
    watched = world.watching()
    await watched.next()
    world.stream.add(ORDERS[0], 1)
    world.parked.add(ORDERS[0], 1)
    await world.write(1, 1)
    assert await watched.changes(1) == ["11"]
    token = watched.token
    await world.redact(0, 2)
    assert await watched.changes(2) == ["01-", "02-"], "personal data is sent"
    await watched.leave()
    await world.claim()
    assert await world.watching(token).changes(2) == ["01-", "02-"], "personal data is sent"
    for version in range(3, 600):  # so many that another process does not keep the parked change
        world.stream.add(ORDERS[1], version)
    await world.write(1, 600)
    await world.claim()
    assert await world.watching(token).changes(1) == ["01-"], "personal data is sent"


def test_a_change_that_was_parked_arrives_without_personal_data() -> None:
    owing_a_change()


@in_virtual_time
async def filtering() -> None:
    world = World(kept=1)
    watched = world.watching(words=["philip"])
    await watched.next()
    token = watched.token
    await world.write(0, 1)
    await world.write(1, 1)
    assert await watched.changes(2) == ["01", "11"]
    await world.redact(0, 2)
    await world.write(1, 2)
    assert await watched.changes(2) == ["02-", "12"]
    assert await world.watching(token, words=["philip"]).changes(3) == ["11", "02-", "12"]
    elsewhere = world.watching(token, words=["philip"], orders=[1])
    assert await elsewhere.changes(2) == ["11", "12"]


def test_a_filter_sees_no_personal_data_of_a_redacted_order_and_the_redaction_is_sent() -> None:
    filtering()


def test_a_redaction_is_sent_whatever_labels_are_asked_for() -> None:
    message = Stream().add_redaction(ORDERS[0], 2)
    redaction = project(read_event(message.headers, message.body))
    labelled = OrderCriteria(labels=(LabelCondition("shop", ("koeln",)),))
    assert not matcher(labelled)(redaction.order)
    assert wanted(labelled)(redaction)
    assert not wanted(replace(labelled, order_ids=(ORDERS[1],)))(redaction)


@pytest.mark.mutant
def test_mutant_filtering_the_redaction_is_noticed() -> None:
    with noticed(
        Mutant(wanted, "if is_redaction else matches)", "if False else matches)"), or_raises=(StopAsyncIteration,)
    ):
        filtering()


@pytest.mark.mutant
def test_mutant_sending_the_copy_of_the_stream_is_noticed() -> None:
    with noticed(Mutant(change.erase_redacted, "if shown[change.order_id].redacted:", "if False:"), SILENT_FRONT):
        resuming(1)
    with noticed(Mutant(change.erase_redacted, "if shown[change.order_id].redacted:", "if False:")):
        owing_a_change()


@pytest.mark.mutant
def test_mutant_keeping_what_was_encoded_before_the_redaction_is_noticed() -> None:
    with noticed(Mutant(FanOut.erase, "if not redacted:", "if True:")):
        resuming(500)
    with noticed(Mutant(Watcher.holds_unerased, "parcel.order_id in order_ids", "False")):
        redacting_what_waits_in_a_buffer()


@pytest.mark.mutant
def test_mutant_looking_once_for_a_slow_watcher_is_noticed() -> None:
    with noticed(SILENT_FRONT):
        redacting_while_a_slow_watcher_catches_up(FRESH_SECONDS / 5)
    with SILENT_FRONT.at_work():
        redacting_while_a_slow_watcher_catches_up(FRESH_SECONDS * 2)
    with noticed(Mutant(CatchUp._sent, "if self._is_unchecked(one.change):", "if number == 0:"), SILENT_FRONT):
        redacting_while_a_slow_watcher_catches_up(FRESH_SECONDS * 2)
