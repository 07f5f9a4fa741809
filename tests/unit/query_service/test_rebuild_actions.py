"""What an operator's actions on a rebuild do when generations differ, and when two actions overlap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from query_service.application.ports.generations import Phase
from query_service.application.ports.read_store import Outcome, Refused
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.rebuilds import Rebuilds
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent
from tests.support.queries.rebuild_world import RebuildWorld, WorldStore
from tests.support.source_mutants import Mutant, noticed


class RefusingStore(WorldStore):
    """A generation whose mapping refuses the second version of every order."""

    async def fill(self, orders: Sequence[Sequence[ProjectedEvent]]) -> list[Outcome]:
        """See ProjectionWriter."""
        events = [event for order in orders for event in order]
        stored = iter(await super().fill([[event] for event in events if event.version != 2]))
        return [Refused(Unprojectable.UNMAPPABLE, "strict") if event.version == 2 else next(stored) for event in events]


class NeverPauses:
    """A pacer that no test waits for."""

    async def pause(self, reason: str) -> None:
        """See Pacer."""
        raise AssertionError(reason)

    def resume(self) -> None:
        """See Pacer."""


async def filled(world: RebuildWorld) -> None:
    """Fills g2 from the source."""
    generations: Any = world
    filler = Filler(
        generations, world.source, world.stores["g2"], NeverPauses, process="p", stream="ORDERS", now=lambda: 5
    )
    await filler.run(1)
    world.stores["g2"].covers(world.source.time)


# -- verify --------------------------------------------------------------------------------------------------------


async def test_what_only_the_new_generation_parks_is_a_difference() -> None:
    world = RebuildWorld(Phase.FILLING)
    world.stores["g2"] = RefusingStore("g2")
    ids = sorted(world.source.place(3) for _ in range(3))  # the digests are equal, because version 3 is stored
    await world.source.project_into(world.stores["g1"])
    await filled(world)
    rebuild, comparison = await world.actions.verify(world.source, world.compare)
    assert (rebuild.phase, rebuild.parked_events) == (Phase.CATCHING_UP, 3)
    assert [(finding.order_id, finding.version) for finding in comparison.findings] == [(one, 2) for one in ids]
    assert "parked, and the old generation has it: UNMAPPABLE, strict" in rebuild.problem


async def test_what_both_generations_lack_is_no_difference() -> None:
    world = RebuildWorld(Phase.FILLING)
    world.stores["g2"] = RefusingStore("g2")
    order_id = world.source.place(3)
    await world.source.project_into(world.stores["g1"])
    del world.stores["g1"]._entries[f"{order_id}/2"]
    await filled(world)
    rebuild, comparison = await world.actions.verify(world.source, world.compare)
    assert (rebuild.phase, rebuild.parked_events, comparison.findings) == (Phase.VERIFIED, 1, [])


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], Awaitable[None]]]] = {
    "what the new generation parks is excused": (
        Mutant(Rebuilds.verify, "*await parked_apart(store, old, MOST_FINDINGS)", ""),
        test_what_only_the_new_generation_parks_is_a_difference,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_an_action_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work):
        await check()
