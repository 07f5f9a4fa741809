"""Comparing a read model with the write side, and mending it, on the store in memory."""

from __future__ import annotations

import asyncio
import random

import pytest

from query_service.application.comparing.barrier import AppliedBarrier, ReadModelLags
from query_service.application.comparing.content import ContentCheck
from query_service.application.comparing.continuous import (
    LEASE_SECONDS,
    BudgetedPace,
    ClaimLost,
    ContinuousCheck,
    DriftClaim,
)
from query_service.application.comparing.drift_check import DriftCheck, DriftReport
from query_service.application.comparing.findings import Kind
from query_service.application.comparing.generation_check import MOST_REPAIRS
from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import ParkedEvent
from query_service.application.reprojecting.reproject import Result
from query_service.application.reprojecting.revisions import RevisionsUsedUp, next_revision
from query_service.projection.errors import Unprojectable
from query_service.projection.external_version import MAX_REVISION, external_version
from query_service.projection.project import project
from query_service.projection.recorded_event import stream_event
from query_service.storage.memory import MemoryStore
from tests.support.queries.compared_read_model import KINDS, NOW, ReadModel, drift_check, plant
from tests.support.queries.other_release import OtherReleasesToo
from tests.support.source_mutants import Mutant, noticed


async def test_what_is_projected_differs_in_nothing() -> None:
    model = await ReadModel().projected()
    compared = await model.compare()
    assert (compared.findings, compared.orders, compared.checked, compared.complete) == ([], 20, 20, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_found_alone_and_repaired(kind: Kind) -> None:
    model = await ReadModel().projected()
    order_id = random.choice(model.order_ids)
    plant(model, kind, order_id)
    model.source.time += 1
    await model.source.claim(model.store)
    report = await model.check()
    assert [(finding.kind, finding.order_id) for finding in report.findings] == [(kind, order_id)]
    assert (report.repaired, report.problem) == ({kind: 1}, "")
    assert (await model.compare()).findings == []
    record = (await model.store.drift_record()).record
    assert (record.found, record.repaired, record.orders) == (
        {kind: 1},
        {kind: 1},
        report.generations[0].comparison.orders,
    )


async def test_a_later_version_is_no_difference_and_what_is_on_its_way_is_waited_for() -> None:
    model = await ReadModel().projected()
    events = [model.source.change(order_id) for order_id in model.order_ids]
    with pytest.raises(ReadModelLags, match="did not catch up"):
        await model.compare()
    await model.store.apply([project(stream_event(event, 1)) for event in events])
    await model.source.claim(model.store)
    for event in events:
        model.source.journals_by_id[event.order_id].pop()
    assert (await model.compare()).findings == []


async def test_an_entry_that_is_under_way_after_the_barrier_is_not_missing() -> None:
    model = await ReadModel().projected()
    order_id = model.order_ids[0]
    event = model.source.change(order_id)
    await model.store.apply([project(stream_event(event, 1))])
    model.source.journals_by_id[order_id].pop()  # it was exported before the change
    model.put("entries", f"{order_id}/4", lambda entry: None)
    await model.source.claim(model.store)
    assert (await model.compare()).findings == []
    model.source.journals_by_id[order_id].append(event)
    assert [(one.kind, one.version) for one in (await model.compare()).findings] == [(Kind.ENTRY_MISSING, 4)]


async def test_another_epoch_is_not_compared() -> None:
    model = await ReadModel().projected()
    model.source.source_epoch = 2
    with pytest.raises(ReadModelLags, match="source epoch 1, and the source at 2"):
        await model.compare()


async def test_a_parked_version_with_its_record_is_no_difference() -> None:
    model = await ReadModel().projected()
    order_id = model.order_ids[0]
    plant(model, Kind.PARKED_UNRECORDED, order_id)
    report = await model.check()
    [repair] = report.generations[0].repairs
    assert (repair.result, repair.version) == (Result.PARKED, 3)
    [stored] = await model.store.orders([order_id])
    assert (stored.version, stored.parked_versions) == (2, (3,))
    assert (await model.compare()).findings == []


async def test_a_field_that_an_earlier_release_did_not_write_is_no_difference_while_it_is_empty() -> None:
    model = await ReadModel().projected()
    first, second = model.order_ids[:2]
    empty, filled = "tracking_numbers", "skus"
    model.put("orders", first, lambda document: {name: value for name, value in document.items() if name != empty})
    model.put("orders", second, lambda document: {name: value for name, value in document.items() if name != filled})
    assert [finding.order_id for finding in (await model.compare()).findings] == [second]


async def test_fields_of_another_release_are_no_difference_and_hashes_are_compared_all_the_same() -> None:
    model = ReadModel()
    model.store = OtherReleasesToo()
    await model.projected()
    older, missing, changed, wrong = model.order_ids[:4]
    model.put("orders", older, lambda document: {name: value for name, value in document.items() if name != "skus"})
    model.put("entries", f"{older}/2", lambda entry: {**entry, "actor": "as an earlier release gave it"})
    plant(model, Kind.ENTRY_MISSING, missing)
    model.put("entries", f"{changed}/2", lambda entry: {**entry, "payload": entry["payload"].replace("1", "2")})
    model.put("orders", wrong, lambda document: {**document, "hash": "00" * 32})
    assert {(one.order_id, one.kind) for one in (await model.compare()).findings} == {
        (missing, Kind.ENTRY_MISSING),
        (changed, Kind.ENTRY_ALTERED),
        (wrong, Kind.DOCUMENT_ALTERED),
    }


async def test_turns_in_a_row_check_the_content_of_every_order() -> None:
    model = await ReadModel().projected()
    for order_id in model.order_ids:
        plant(model, Kind.ENTRY_ALTERED, order_id)
    found = [finding.order_id for turn in range(4) for finding in (await model.compare(5, turn)).findings]
    assert sorted(found) == sorted(model.order_ids)


async def test_more_differences_than_allowed_are_reported_and_left() -> None:
    model = await ReadModel().projected()
    for order_id in model.order_ids[:3]:
        plant(model, Kind.DOCUMENT_ALTERED, order_id)
    report = await model.check(most_repairs=2)
    assert (report.found, report.repaired) == ({Kind.DOCUMENT_ALTERED: 3}, {})
    assert "3 orders differ, and a round repairs 2 at most" in report.problem
    assert (await model.check()).repaired == {Kind.DOCUMENT_ALTERED: 3}
    assert MOST_REPAIRS >= 3


# -- projecting again ----------------------------------------------------------------------------------------------


async def test_an_order_is_projected_again_above_what_is_stored_and_its_record_goes() -> None:
    model = await ReadModel().projected()
    order_id = model.order_ids[0]
    await model.store.park(ParkedEvent(order_id, 2, "e", "t", "ORDERS", 1, 1, 1, Unprojectable.UNMAPPABLE, "why"))
    for revision in (1, 2):
        [done] = await model.reprojector.orders([order_id])
        assert (done.result, done.version) == (Result.REPROJECTED, 3)
        versions = await model.store.external_versions(order_id, [1, 2, 3])
        assert versions.order == external_version(1, 3, revision)
        assert versions.entries == {version: external_version(1, version, revision) for version in (1, 2, 3)}
    assert (await model.store.orders([order_id]))[0].parked_versions == ()
    assert (await model.compare()).findings == []


async def test_a_late_event_does_not_bring_a_removed_order_back() -> None:
    model = await ReadModel().projected()
    order_id = model.order_ids[0]
    late = [project(stream_event(event, 1)) for event in model.source.journals_by_id[order_id]]
    plant(model, Kind.ORDER_UNKNOWN, order_id)
    [done] = await model.reprojector.orders([order_id])
    assert done.result is Result.REMOVED
    await model.store.apply(late)
    assert (await model.store.orders([order_id]))[0].document is None
    assert await model.store.entries(order_id, [1, 2, 3]) == [None, None, None]
    assert (await model.reprojector.orders([order_id]))[0].result is Result.UNKNOWN


async def test_a_source_that_was_set_back_is_refused() -> None:
    model = ReadModel()
    model.source.source_epoch = 2
    await model.projected()
    model.source.source_epoch = 1
    [done] = await model.reprojector.orders(model.order_ids[:1])
    assert (done.result, "adopt" in done.detail) == (Result.REFUSED, True)


def test_revisions_end_and_the_limit_is_named() -> None:
    stored = external_version(1, 3)
    assert [next_revision(n, 1, "id", 3) for n in (0, stored - 1, stored, stored + 7)] == [0, 0, 1, 8]
    assert next_revision(external_version(1, 4), 1, "id", 3) is None
    with pytest.raises(RevisionsUsedUp, match="revision 1023, the highest: rebuild"):
        next_revision(stored + MAX_REVISION, 1, "id", 3)


# -- all the time --------------------------------------------------------------------------------------------------


async def test_one_process_at_a_time_has_the_claim() -> None:
    store, time = MemoryStore(), [NOW]
    first, second = (DriftClaim(store, holder, lambda: time[0]) for holder in ("a", "b"))
    assert (await first.take(), await second.take(), await first.take()) == (True, False, True)
    time[0] += round(LEASE_SECONDS * 1e6) + 1
    assert await second.take()
    with pytest.raises(ClaimLost):
        await first.keep()


class Rounds:
    """Implements DriftObserver; counts rounds."""

    def __init__(self) -> None:
        self.done = self.failed = 0

    def round_done(self, report: DriftReport, ended_at: int) -> None:
        """See DriftObserver."""
        self.done += 1

    def round_failed(self, problem: str) -> None:
        """See DriftObserver."""
        self.failed += 1


async def test_a_projector_that_cannot_check_leaves_the_checks_to_another() -> None:
    model = await ReadModel().projected()
    observed = Rounds()

    async def unfit() -> dict[str, str]:
        raise ReadStoreNotReady("another release feeds the read model")

    cannot = DriftCheck(model.store, unfit, lambda name: model.generation_check(name), lambda: NOW)
    running = []
    for holder, check, seconds in (("unfit", cannot, 0.001), ("fit", drift_check({"g1": model}), 0.02)):
        claim = DriftClaim(model.store, holder, lambda: NOW)
        pace = BudgetedPace(1.0, claim, lambda: 0.0, lambda: 0.0)
        continuous = ContinuousCheck(check, claim, pace, observed, lambda: NOW, round_seconds=seconds)
        running.append(asyncio.create_task(continuous.run()))
    while not observed.done and observed.failed < 200:
        await asyncio.sleep(0.001)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert observed.done
    assert observed.failed


async def test_rests_keep_the_work_within_its_share() -> None:
    work, clock = [0.0], [0.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    claim = DriftClaim(MemoryStore(), "a", lambda: NOW)
    pace = BudgetedPace(0.02, claim, lambda: work[0], lambda: clock[0], sleep)
    for _ in range(50):
        work[0] += 0.1
        clock[0] += 0.1
        await pace.rest()
    assert work[0] / clock[0] == pytest.approx(0.02)


# -- mutants -------------------------------------------------------------------------------------------------------


@pytest.mark.mutant
async def test_digests_without_content_are_noticed() -> None:
    with noticed(Mutant(ContentCheck.suspects, "if content_findings(order, entries, (), own=self._own)", "if False")):
        await test_each_kind_is_found_alone_and_repaired(Kind.DOCUMENT_ALTERED)


@pytest.mark.mutant
async def test_comparing_without_waiting_for_the_barrier_is_noticed() -> None:
    with noticed(Mutant(AppliedBarrier.passed, "while not _covers", "while False and not _covers")):
        await test_a_later_version_is_no_difference_and_what_is_on_its_way_is_waited_for()


@pytest.mark.mutant
async def test_a_repair_with_the_stored_revision_is_noticed() -> None:
    with noticed(Mutant(next_revision, "return above + 1", "return above"), or_raises=(DependencyDown,)):
        await test_each_kind_is_found_alone_and_repaired(Kind.DOCUMENT_ALTERED)


@pytest.mark.mutant
async def test_rests_without_a_budget_are_noticed() -> None:
    with noticed(Mutant(BudgetedPace.rest, "used / self._share - passed", "0.0 * used - passed")):
        await test_rests_keep_the_work_within_its_share()


@pytest.mark.mutant
async def test_comparing_the_fields_of_another_release_is_noticed() -> None:
    with noticed(Mutant(ContentCheck.begin, "await self._store.has_own_content()", "True")):
        await test_fields_of_another_release_are_no_difference_and_hashes_are_compared_all_the_same()


@pytest.mark.mutant
async def test_taking_what_is_under_way_as_missing_is_noticed() -> None:
    with noticed(Mutant(ContentCheck.findings, "settled.get(one, 0)", "10**5")):
        await test_an_entry_that_is_under_way_after_the_barrier_is_not_missing()


@pytest.mark.mutant
async def test_keeping_the_claim_without_checking_is_noticed() -> None:
    with noticed(Mutant(DriftClaim.give_back, "stored.record.holder == self._holder", "False")):
        await test_a_projector_that_cannot_check_leaves_the_checks_to_another()
