"""Lets others publish into the stream of a replay while it stands still."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from relay.replaying.replay import ReplayReport
from relay.replaying.selection import Chunk, Selection
from tests.support.relay import streams
from tests.support.relay.replays import has_stored, replay_here
from tests.support.relay.restores import insert_versions
from tests.support.relay.world import World


async def two_at_once(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[ReplayReport | BaseException, ReplayReport]:
    """Lets a second replay run into the stream while the first stands still. Then the first goes on."""
    read, readers, woken = Selection.read, list[Selection](), asyncio.Event()

    async def standing_still(self: Selection, *given: Any) -> Chunk:
        if readers and self is readers[0]:
            await woken.wait()
        readers.append(self)
        return await read(self, *given)

    monkeypatch.setattr(Selection, "read", standing_still)
    first = asyncio.create_task(replay_here(world, target, rate=1_000))
    await has_stored(world, target, 101)
    second = await replay_here(world, target)
    woken.set()
    [found] = await asyncio.gather(first, return_exceptions=True)
    return found, second


async def a_stranger_during_a_replay(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> ReplayReport | BaseException:
    """Returns what a replay of 600 rows says, into whose stream a stranger publishes while it stands still."""
    await insert_versions(world, 600, "a")
    read, woken, reads = Selection.read, asyncio.Event(), itertools.count()

    async def standing_still(self: Selection, *given: Any) -> Chunk:
        if next(reads) == 1:
            await woken.wait()
        return await read(self, *given)

    monkeypatch.setattr(Selection, "read", standing_still)
    first = asyncio.create_task(replay_here(world, target, rate=1_000))
    await has_stored(world, target, 101)
    async with streams.client(world.nats_url) as client:
        subjects = (await client.jetstream().stream_info(target)).config.subjects or []
    await streams.publish(world.nats_url, subjects[0].replace(">", "stranger"))
    woken.set()
    [found] = await asyncio.gather(first, return_exceptions=True)
    return found
