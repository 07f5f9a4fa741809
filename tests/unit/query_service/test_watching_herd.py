"""Many watchers that resume at once, as after a restart: what one has read serves all, and few read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from query_service.application.ports.change_stream import Message
from query_service.application.ports.read_store import ShownOrder
from query_service.application.watching.catch_up import CatchUp, Shared
from query_service.application.watching.change import Passed
from query_service.application.watching.recent_changes import RecentChanges, Turn, Turns
from query_service.application.watching.resume_token import ResumePoint
from query_service.projection import project as projecting
from query_service.storage.memory import MemoryStore
from tests.support.queries.watch_world import CREATED, ORDERS, Sent, Stream, World
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

BEGINNING = ResumePoint(CREATED, 0).token()


class CountedStream(Stream):
    """A stream that counts its readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = self.most_readers = self.read = 0

    async def after(self, sequence: int, created_at: int) -> AsyncGenerator[Message, None]:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        try:
            async for message in super().after(sequence, created_at):
                self.read += 1
                yield message
        finally:
            self.readers -= 1


class CountedStore(MemoryStore):
    """A store that counts look-ups."""

    look_ups = 0

    async def shown(self, order_ids: Sequence[str]) -> list[ShownOrder]:
        self.look_ups += 1
        return await super().shown(order_ids)


@in_virtual_time
async def resuming_together(monkeypatch: pytest.MonkeyPatch) -> None:
    projected = 0
    project = projecting.project

    def counted(*arguments: object) -> object:
        nonlocal projected
        projected += 1
        return project(*arguments)  # type: ignore[arg-type]

    store, stream = CountedStore(), CountedStream()
    world = World(kept=7, store=store, stream=stream)
    for version in range(1, 31):
        await world.write(0, version)
    await world.write(1, 1)
    await world.claim()
    monkeypatch.setattr("query_service.application.watching.change.project", counted)
    herd = [world.watching(BEGINNING, orders=(1,)) for _ in range(24)]
    assert await asyncio.gather(*(watched.changes(1) for watched in herd)) == [["11"]] * 24
    assert projected <= 31, "each watcher projects for itself"
    assert stream.most_readers <= 17, "all read the stream"  # one of them is the front
    assert stream.read <= 17 * 35
    assert store.look_ups < 10, "each watcher looks for itself whether orders are redacted"


def test_what_one_watcher_has_read_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    resuming_together(monkeypatch)


@in_virtual_time
async def resuming_beside_a_stuck_caller() -> None:
    world = World(kept=7)
    world.watch._shared = Shared(turns=Turns(1, 12.0))
    expected = [f"0{version}" for version in range(1, 131)]
    for version in range(1, 131):
        await world.write(0, version)
    await world.claim()
    stuck, other = (world.watching(BEGINNING) for _ in range(2))
    assert [await stuck.next() for _ in range(2)] == ["", "01"]
    # What the stuck one has read is remembered. After that the other one waits, with signs of life.
    got = [await other.next() for _ in range(103)]
    assert got == ["", *expected[:100], "", ""]
    assert await other.changes(30) == expected[100:]
    assert await stuck.changes(129) == expected[1:]


def test_a_caller_that_reads_nothing_stops_no_other() -> None:
    resuming_beside_a_stuck_caller()


def test_what_is_remembered_is_bounded() -> None:
    recent = RecentChanges(3_000)
    for sequence in range(1, 9):
        recent.read(CREATED, Sent(sequence, {}))
    assert [recent.get(CREATED, sequence) for sequence in range(1, 9)] == [
        None,
        None,
        *(Passed(sequence) for sequence in range(3, 9)),
    ]
    assert recent.get(CREATED + 1, 8) is None
    large = Stream().add(ORDERS[0], 1)
    recent.read(CREATED, Sent(9, large.headers, b"x" * 9_000))
    assert recent.get(CREATED, 8) is None


@pytest.mark.mutant
def test_mutants_reading_for_each_watcher_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(Mutant(RecentChanges.get, "self._items.get(place)", "None")):
        resuming_together(monkeypatch)
    with noticed(Mutant(Turns.begin, "await self._places.acquire()", "pass")):
        resuming_together(monkeypatch)
    with noticed(Mutant(CatchUp._is_unchecked, "return self", "return True or self")):
        resuming_together(monkeypatch)


@pytest.mark.mutant
def test_mutant_whose_turns_last_is_noticed() -> None:
    with noticed(Mutant(Turn.end, "if not self.over:", "if False:"), or_raises=(StopAsyncIteration,)):
        resuming_beside_a_stuck_caller()
