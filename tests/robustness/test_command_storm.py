"""64 callers on 4 orders; the service, connections in the middle of COMMIT, and Postgres are killed at random."""

from __future__ import annotations

import asyncio
import random

import pytest

from command_service.storage.schema import migrate
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.chance import new_seed, tell
from tests.support.commands.commit_cutter import cutter
from tests.support.commands.journal import journal_faults
from tests.support.robustness.command_storm import Storm, book_faults


async def storm(private_postgres: PrivatePostgres, strikes: dict[str, int]) -> None:
    """So many strikes of each kind, in random order."""
    seed = new_seed()
    server = await private_postgres()
    await asyncio.to_thread(migrate, server.url)
    async with cutter(server.url) as (way, url):
        it = Storm(server, way, url, seed)
        async with it.blowing():
            order = [what for what, count in strikes.items() for _ in range(count)]
            random.Random(seed).shuffle(order)
            for what in order:
                await it.strike(what)
    assert await book_faults(server.url, it) == []
    assert await journal_faults(server.url) == []
    tell(f"{it.acknowledged} acknowledged, {it.refused} refused, {dict(it.tries)}")
    # At least the commands whose connection was cut behind their COMMIT had been done when they came again.
    assert it.tries["replayed"] >= strikes["commit"], "the strikes hit nothing"


@pytest.mark.timeout(900)
async def test_each_kind_of_strike(private_postgres: PrivatePostgres) -> None:
    await storm(private_postgres, {"service": 1, "commit": 2, "postgres": 1})


@pytest.mark.long
@pytest.mark.timeout(7_200)
async def test_a_hundred_strikes(private_postgres: PrivatePostgres) -> None:
    await storm(private_postgres, {"service": 40, "commit": 40, "postgres": 20})
