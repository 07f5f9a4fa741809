"""Each generation that projectors feed is compared and mended; others are passed over by name."""

from __future__ import annotations

import pytest

from query_service.application.comparing.barrier import ReadModelLags
from query_service.application.comparing.drift_check import DriftCheck
from query_service.application.comparing.findings import Kind
from query_service.application.ports.checked_store import SwappedIndex
from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.reprojecting.reproject import Reprojector
from query_service.storage.memory import MemoryStore
from tests.support.queries.compared_read_model import NOW, ReadModel, drift_check, plant
from tests.support.source_mutants import Mutant, noticed


async def two_generations() -> tuple[ReadModel, ReadModel]:
    """Returns the generations g1 and g2 of one read model. g2 lacks nothing and has a document that was altered."""
    first, second = await ReadModel().projected(), ReadModel()
    second.source, second.order_ids = first.source, first.order_ids
    second.reprojector = Reprojector(second.store, second.source, stream="ORDERS", now=lambda: NOW)
    await second.projected()
    plant(second, Kind.DOCUMENT_ALTERED, second.order_ids[0])
    return first, second


async def test_each_generation_that_is_fed_is_checked_and_repaired() -> None:
    first, second = await two_generations()
    plant(first, Kind.DOCUMENT_ALTERED, first.order_ids[0])
    plant(first, Kind.DOCUMENT_MISSING, first.order_ids[1])
    report = await drift_check({"g1": first, "g2": second})(repair=True)
    assert [(one.generation, one.repaired) for one in report.generations] == [
        ("g1", {Kind.DOCUMENT_ALTERED: 1, Kind.DOCUMENT_MISSING: 1}),
        ("g2", {Kind.DOCUMENT_ALTERED: 1}),
    ]
    assert report.is_clean
    assert (report.repaired, report.problem) == (report.found, "")
    assert ((await first.compare()).findings, (await second.compare()).findings) == ([], [])


async def test_a_generation_that_is_being_filled_or_of_another_release_is_passed_over_by_name() -> None:
    _, second = await two_generations()
    report = await drift_check({"g1": "made for another release", "g2": second, "g3": "a rebuild is filling it"})()
    assert [one.generation for one in report.generations] == ["g2"]
    assert report.passed_over == {"g1": "made for another release", "g3": "a rebuild is filling it"}
    with pytest.raises(ReadStoreNotReady, match="a rebuild is filling it"):
        await DriftCheck(second.store, never_filled, lambda name: second.generation_check(name), lambda: NOW)()


async def never_filled() -> dict[str, str]:
    """Returns generations of which none can be compared."""
    return {"g3": "a rebuild is filling it"}


async def test_a_generation_that_lags_is_a_problem_and_hides_nothing_of_the_other() -> None:
    first, second = await two_generations()
    plant(first, Kind.DOCUMENT_ALTERED, first.order_ids[0])
    first.source.time += 1
    await first.source.claim(first.store)
    report = await drift_check({"g1": first, "g2": second})(repair=True)
    assert (report.found, report.repaired) == ({Kind.DOCUMENT_ALTERED: 1}, {Kind.DOCUMENT_ALTERED: 1})
    assert "generation g2 was not compared: read model: it did not catch up" in report.problem
    assert not report.is_clean
    assert (await first.store.drift_record()).record.problem == report.problem
    with pytest.raises(ReadModelLags):
        await drift_check({"g2": second, "g1": first})()


async def test_an_alias_that_was_moved_back_is_reported_although_nothing_could_be_compared_then() -> None:
    model = await ReadModel().projected()
    model.source.time += 1

    class Swapped(MemoryStore):
        """A store whose readers were sent elsewhere."""

        async def swapped_indices(self) -> list[SwappedIndex]:
            return [SwappedIndex("orders", "orders-empty", "orders-g1")]

        async def swap_back(self, swapped: SwappedIndex) -> None:
            """Moves nothing, because there is no alias."""

    async def fed() -> dict[str, str]:
        return {"g1": ""}

    check = DriftCheck(Swapped(), fed, model.generation_check, lambda: NOW)
    seen = await check()
    assert (seen.found, seen.repaired, seen.is_clean) == ({Kind.INDEX_SWAPPED: 1}, {}, False)
    report = await check(repair=True)
    assert (report.found, report.repaired) == ({Kind.INDEX_SWAPPED: 1}, {Kind.INDEX_SWAPPED: 1})
    assert "did not catch up" in report.problem
    assert not report.is_clean


@pytest.mark.mutant
async def test_repairs_of_the_first_generation_only_are_noticed() -> None:
    with noticed(Mutant(DriftCheck._round, "(await self._fed()).items()", "[*(await self._fed()).items()][:1]")):
        await test_each_generation_that_is_fed_is_checked_and_repaired()
