"""An order whose latest event the store refuses keeps the document of the last event that the store takes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from query_service.application.ports.generations import Phase
from query_service.application.ports.read_store import Outcome, Refused
from query_service.application.rebuilding.filling import Filler
from query_service.application.reprojecting.reproject import Reprojector, Result
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent
from tests.support.queries.compared_read_model import ReadModel
from tests.support.queries.rebuild_world import RebuildWorld, WorldStore
from tests.support.source_mutants import Mutant, noticed
from tests.unit.query_service.test_rebuild_actions import filled

REFUSED = (3, 4)


class Refusing(WorldStore):
    """A store whose mapping refuses some versions. As Elasticsearch, it makes an order's document of its last event."""

    async def apply(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See ProjectionWriter."""
        return with_refusals(events, await super().apply(fitting(events)))

    async def apply_entries(self, events: Sequence[ProjectedEvent]) -> list[Outcome]:
        """See ProjectionWriter."""
        return with_refusals(events, await super().apply_entries(fitting(events)))

    async def fill(self, orders: Sequence[Sequence[ProjectedEvent]]) -> list[Outcome]:
        """See ProjectionWriter."""
        outcomes: list[Outcome] = []
        for *others, last in orders:
            outcomes += [*await self.apply_entries(others), *await self.apply([last])]
        return outcomes


def fitting(events: Sequence[ProjectedEvent]) -> list[ProjectedEvent]:
    """Returns the events that the store takes."""
    return [event for event in events if event.version not in REFUSED]


def with_refusals(events: Sequence[ProjectedEvent], of_fitting: Sequence[Outcome]) -> list[Outcome]:
    """Returns the outcomes of all events, given those of the events that the store takes."""
    stored = iter(of_fitting)
    return [Refused(Unprojectable.UNMAPPABLE, "strict") if one.version in REFUSED else next(stored) for one in events]


async def check_shown(store: WorldStore, order_id: str) -> None:
    """Asserts that readers see version 2, and the later ones as parked."""
    [stored] = await store.orders([order_id])
    assert (stored.version, stored.parked_versions) == (2, REFUSED)
    assert [entry is not None for entry in await store.entries(order_id, range(1, 5))] == [True, True, False, False]


async def test_a_rebuild_shows_the_last_version_that_fits() -> None:
    world = RebuildWorld(Phase.FILLING)
    world.stores["g2"] = Refusing("g2")
    order_id = world.source.place(4)
    await filled(world)
    await check_shown(world.stores["g2"], order_id)


async def test_a_repair_shows_the_last_version_that_fits() -> None:
    model = ReadModel()
    store, order_id = Refusing("g1"), model.source.place(4)
    reprojector = Reprojector(store, model.source, stream="ORDERS", now=lambda: 1)
    [done] = await reprojector.orders([order_id])
    assert done.result is Result.PARKED
    await check_shown(store, order_id)


@pytest.mark.mutant
async def test_a_rebuild_that_leaves_the_order_without_a_document_is_noticed() -> None:
    with noticed(Mutant(Filler._store_or_park, "if stored and stored[-1] is not events[-1]", "if False")):
        await test_a_rebuild_shows_the_last_version_that_fits()


@pytest.mark.mutant
async def test_a_repair_that_leaves_the_order_without_a_document_is_noticed() -> None:
    with noticed(Mutant(Reprojector._is_done, "return not planned.others", "return True")):
        await test_a_repair_shows_the_last_version_that_fits()
