"""What the projector says of the read model's freshness, alone and among others."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from nats.aio.msg import Msg

from query_service.application.ports.read_store import Freshness
from tests.support.queries.order_events import START, an_order, published
from tests.support.queries.projector_checks import (
    claimed_as_of,
    floor_reaches,
)
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]


async def _claimed_while_another_holds_an_event(side: ReadSide, *mutant: str) -> bool:
    """Whether a projector claims a barrier although an event before it is in another one's hands."""
    held, free = published(an_order()), published(an_order())
    other = await side.client.jetstream(timeout=60).pull_subscribe_bind("projector", side.stream)
    await side.publish(held)
    [in_other_hands] = await other.fetch(1, timeout=60)
    keeping = asyncio.create_task(_keep(in_other_hands))
    module = "tests.support.queries.projector_mutants" if mutant else "query_service"
    try:
        async with side.process(*mutant, "project", module=module) as projector:
            await projector.wrote("projecting")
            await side.publish(free)
            await side.publish_barrier(START + timedelta(hours=1))
            await eventually(lambda: side.shows([free]), "the other event")
            if mutant:
                await claimed_as_of(side)
            else:
                await eventually(lambda: _pending(side, 1), "only the held event in hand")
                await asyncio.sleep(1)  # for what a credulous one would have claimed by now
            claimed = await side.store.freshness() is not None
            if not mutant:
                keeping.cancel()
                await in_other_hands.ack()
                assert await claimed_as_of(side) == (START + timedelta(hours=1)).timestamp() * 1e6
            return claimed
    finally:
        keeping.cancel()
        await other.unsubscribe()


async def _keep(message: Msg) -> None:
    while True:
        await message.in_progress()
        await asyncio.sleep(0.2)


async def _pending(side: ReadSide, messages: int) -> bool:
    return (await side.consumer()).num_ack_pending == messages


async def test_freshness_is_claimed_only_when_every_projector_is_done(read_side: ReadSide) -> None:
    assert not await _claimed_while_another_holds_an_event(read_side)


@pytest.mark.mutant
async def test_a_projector_that_believes_barriers_at_once_is_caught(read_side: ReadSide) -> None:
    assert await _claimed_while_another_holds_an_event(read_side, "claim_at_once")


async def test_freshness_is_recorded_and_told_and_never_goes_back(read_side: ReadSide) -> None:
    told: list[dict[str, Any]] = []

    async def on_message(message: Msg) -> None:
        told.append(json.loads(message.data))

    await read_side.client.subscribe(f"tandem.{read_side.subject}.projector.g1.as_of", cb=on_message)
    await read_side.client.flush()
    async with read_side.projecting():
        await read_side.publish(published(an_order()))
        sequence = await read_side.publish_barrier(START + timedelta(seconds=2))
        await eventually(lambda: _told(told, 1), "a notice of freshness")
        await read_side.publish_barrier(START + timedelta(seconds=1))
        await eventually(lambda: _told(told, 2), "the next notice")
    assert told[0]["as_of"] == "2026-05-01T08:00:02.000000Z"
    assert (told[0]["generation"], told[0]["source_epoch"]) == ("g1", 1)
    freshness = await read_side.store.freshness()
    assert isinstance(freshness, Freshness)
    assert freshness.as_of == (START + timedelta(seconds=2)).timestamp() * 1e6
    assert (freshness.sequence, freshness.source_epoch) == (sequence, 1)


async def _told(told: list[dict[str, Any]], count: int) -> bool:
    return len(told) >= count


async def test_a_barrier_without_time_claims_nothing(read_side: ReadSide) -> None:
    async with read_side.projecting():
        await read_side.client.jetstream(timeout=60).publish(
            f"{read_side.subject}.v1.barrier", b"", headers={"Tandem-Epoch": "1", "Tandem-Term": "1"}
        )
        await eventually(lambda: floor_reaches(read_side, 1), "the barrier acknowledged")
    assert await read_side.store.freshness() is None
