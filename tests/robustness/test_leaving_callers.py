"""Deadlines, cancellations and cut connections at any moment of calls and imports: nobody else notices."""

from __future__ import annotations

import time

import pytest

from tests.support.chance import new_seed, tell
from tests.support.faults.rough_way import rough_way
from tests.support.robustness.leaving_callers import LeavingCallers, book_faults, process_faults, rough_service

#: Mutant: a round trip is interrupted, and its connection goes back without proof of its state.
WITHOUT_PROOF = """
from command_service.storage.connection.connections import CommandPool
from command_service.storage.connection.conversation import Conversation
from command_service.storage.connection.round_trip import OutOfStep, RoundTrip

async def run(self, batch, *, to_the_end=False):
    self._trip = trip = RoundTrip(self.connection.pgconn, self.connection.writer, batch)
    try:
        await trip.over
    except BaseException:
        trip._end(OutOfStep("interrupted"))
        raise
    return trip.answer

async def end(*_):
    pass

# The pool has a guard of its own.
Conversation.run, Conversation.end, CommandPool._reset_connection = run, end, end
"""


async def faults_of(url: str, *, calls: int, streams: int, changes: str = "") -> list[str]:
    """What goes wrong in so many calls and streams."""
    seed, started = new_seed(), time.monotonic()
    async with rough_way(url, seed) as (way, through), rough_service(way, through, changes) as process:
        callers = LeavingCallers(process, seed, calls, streams)
        await callers.run()
        faults = callers.faults + await process_faults(process)
    tell(
        f"{callers.ends.total()} calls {dict(callers.ends)}, {callers.beside} of them beside {streams} streams"
        f" {dict(callers.items)}, {way.cuts} cuts, {len(callers.placed)} placed, {time.monotonic() - started:.0f} s"
    )
    return faults + await book_faults(url, callers)


async def test_callers_who_leave_harm_nobody(command_database: str) -> None:
    assert await faults_of(command_database, calls=2_000, streams=3) == []


@pytest.mark.long
@pytest.mark.timeout(14_400)
async def test_callers_who_leave_harm_nobody_in_the_long_run(command_database: str) -> None:
    assert await faults_of(command_database, calls=200_000, streams=300) == []


@pytest.mark.mutant
@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_a_connection_that_goes_back_without_proof_is_noticed(command_database: str) -> None:
    assert await faults_of(command_database, calls=10_000, streams=60, changes=WITHOUT_PROOF) != []
