"""Filling and comparing rest for the generation that readers see, and not for the new one."""

from __future__ import annotations

import pytest

from query_service import rebuild_commands
from query_service.application.rebuilding.readers_first import ReadersFirst
from query_service.rebuild_commands import run_rebuild
from tests.support.queries.read_side import ReadSide, empty_read_side, read_side
from tests.support.queries.rebuild_actions import write_side
from tests.support.queries.write_side import WriteSide
from tests.support.source_mutants import Mutant, noticed

__all__ = ["empty_read_side", "read_side", "write_side"]


async def rests(side: ReadSide, written: WriteSide, patch: pytest.MonkeyPatch) -> None:
    """Each step asks how far the generation of readers is, which answers from the start, and only that one."""
    asked: dict[str, set[str]] = {"start": set(), "verify": set()}
    await written.change()
    async with written.barriers(), side.projecting():
        for step, generations in asked.items():

            async def rest(self: ReadersFirst, generations: set[str] = generations) -> None:
                known = await self._freshness()
                generations.add("unknown" if known is None else known.generation)

            patch.setattr(ReadersFirst, "rest", rest)
            report = await run_rebuild(side.settings(), step)
            assert not report.error, report.error
    assert asked == {"start": {"g1"}, "verify": {"g1"}}


async def test_a_rebuild_rests_for_readers(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rests(read_side, write_side, monkeypatch)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(rebuild_commands._start, "pace=ReadersFirst(world.freshness, now),", ""),
        Mutant(rebuild_commands._start, "ReadersFirst(world.freshness, now)", "ReadersFirst(store.freshness, now)"),
        Mutant(rebuild_commands._compared, ", pace=pace", ""),
    ],
    ids=["filling", "filling for the new generation", "comparing"],
)
async def test_a_rebuild_that_goes_before_readers_is_noticed(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    with noticed(mutant):
        await rests(read_side, write_side, monkeypatch)
