"""Verified histories: whatever was changed in the read model is found, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from query_service.application.freshness.await_versions import Consistency, VersionWaiter
from query_service.application.freshness.notice_board import NoticeBoard
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import Lagging, OrderUnknown, Parked
from query_service.application.questions.verify_order_history import (
    MOST_FINDINGS,
    PAGE_VERSIONS,
    VerifiedHistory,
    VerifyOrderHistory,
)
from query_service.projection.journal_check import JournalCheck
from query_service.projection.project import project
from query_service.projection.recorded_event import chain_fault, stream_event
from query_service.storage.memory import MemoryStore
from query_service.wire.order_history import verified_message
from tests.support.queries.memory_source import MemorySource
from tests.support.queries.other_release import OtherReleasesToo
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time
from tests.unit.query_service.test_list_gate import parked

NOW = Consistency(max_wait=0.02)
#: More than two pages.
VERSIONS = 2 * PAGE_VERSIONS + 1


class World:
    """An order of VERSIONS versions, projected into a store of the test's own."""

    def __init__(self, versions: int = VERSIONS) -> None:
        self.source, self.board = MemorySource(), NoticeBoard()
        self.become(MemoryStore())
        self.order_id = self.source.place(versions)

    def become(self, store: MemoryStore) -> None:
        """Makes the world one with this store."""
        waiter = VersionWaiter(self.board, FreshnessView(), asyncio.get_running_loop().time, self, recheck=60)
        self.store, self.verify = store, VerifyOrderHistory(store, waiter)

    def waited(self, outcome: str, seconds: float) -> None:
        """Nobody counts."""

    async def projected(self) -> World:
        await self.source.project_into(self.store)
        return self

    async def verified(self, **wanted: Any) -> VerifiedHistory:
        return (await self.verify(self.order_id, Consistency(max_wait=0.02, **wanted))).found

    def put(self, table: str, version: int, change: Callable[[Any], Any]) -> None:
        """Replaces a stored document; None removes it."""
        documents: dict[str, tuple[int, Any]] = getattr(self.store, f"_{table}")
        key = self.order_id if table == "orders" else f"{self.order_id}/{version}"
        written, document = documents[key]
        if (changed := change(document)) is None:
            del documents[key]
        else:
            documents[key] = written, changed


@in_virtual_time
async def test_what_an_earlier_release_wrote_differently_is_not_broken_and_hashes_count_all_the_same() -> None:
    world = World()
    world.become(OtherReleasesToo())
    await world.projected()
    world.put("orders", 0, lambda document: {name: value for name, value in document.items() if name != "skus"})
    world.put("entries", 2, lambda entry: {**entry, "actor": "as an earlier release gave it"})
    assert (await world.verified()).valid
    world.put("entries", 3, lambda entry: {**entry, "payload": entry["payload"].replace("1", "2")})
    world.put("orders", 0, lambda document: {**document, "hash": "00" * 32})
    found = await world.verified()
    assert {(finding.version, finding.copy) for finding in found.findings} == {
        (3, "journal entry"),
        (VERSIONS, "order document"),
    }


@in_virtual_time
async def test_an_untouched_history_is_valid() -> None:
    world = await World().projected()
    answer = await world.verify(world.order_id, NOW)
    found = answer.found
    assert (found.valid, found.verified, found.first_broken_version, found.finding) == (True, VERSIONS, 0, "")
    assert (found.head_hash, answer.info.stale) == (world.source.journals_by_id[world.order_id][-1].hash, False)
    assert verified_message(found).head_hash.hex() == found.head_hash


def changed(**fields: Any) -> Callable[[Any], Any]:
    return lambda document: {**document, **fields}


#: What is done to version 3 → which copy is broken, and what the finding says.
CHANGES: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "text": ("entries", lambda entry: {**entry, "payload": entry["payload"] + " "}, "its text does not give its hash"),
    "headers": (
        "entries",
        lambda entry: {**entry, "headers": entry["headers"].replace("tests", "others")},
        "its text does not give its hash",
    ),
    "hash": ("entries", changed(hash="ab" * 32), "its text does not give its hash"),
    "no hash": ("entries", changed(hash="zz"), "its text does not give its hash"),
    "personal data": (
        "entries",
        lambda entry: {**entry, "personal": entry["personal"].replace("Essen", "Trinken")},
        "its personal data does not give its personal digest",
    ),
    "digest": ("entries", changed(personal_digest="ab" * 32), "does not give its"),
    "field": ("entries", changed(actor="nobody"), "these fields are not those of its text: actor"),
    "entry": ("entries", lambda entry: None, "there is no such entry"),
}


async def every_change_is_found() -> None:
    for name, (table, change, said) in CHANGES.items():
        world = await World(5).projected()
        world.put(table, 3, change)
        found = await world.verified()
        assert (found.valid, found.first_broken_version) == (False, 3), name
        assert found.finding.startswith("the read model's journal entry of version 3 is broken: "), name
        assert said in found.finding, name


@in_virtual_time
async def test_whatever_is_changed_is_found_and_named() -> None:
    await every_change_is_found()


@in_virtual_time
async def test_the_order_must_be_what_its_last_entry_gives() -> None:
    world = await World().projected()
    world.put("orders", 0, changed(total=1, state="CANCELLED"))
    found = await world.verified()
    [finding] = found.findings
    assert (finding.copy, finding.version, found.verified) == ("order document", VERSIONS, VERSIONS)
    assert "these fields are not what its journal entry gives: state, total" in found.finding


@in_virtual_time
async def test_a_redacted_history_stays_valid() -> None:
    world = await World(5).projected()
    for version in range(1, 6):
        world.put("entries", version, changed(personal=None, salt=None))
    assert not (await world.verified()).valid  # the document still has the personal data
    check = JournalCheck(world.order_id)
    for version in range(1, 6):
        assert check.entry_fault(world.store._entries[f"{world.order_id}/{version}"][1]) is None
    assert check.head is not None
    redacted = check.head.order
    world.put("orders", 0, lambda document: redacted)
    found = await world.verified()
    assert (found.valid, found.verified) == (True, 5)
    world.put("entries", 2, lambda entry: {**entry, "payload": entry["payload"] + " "})
    assert (await world.verified()).first_broken_version == 2


@in_virtual_time
async def test_a_parked_version_is_named_and_no_change() -> None:
    world = await World(5).projected()
    world.put("entries", 2, lambda entry: None)
    await world.store.park(parked(world.order_id, 2))
    found = await world.verified()
    assert (found.valid, found.findings, found.first_broken_version) == (False, [], 0)
    assert (found.verified, found.parked_versions) == (3, [2])
    assert found.finding == "only 3 of 5 versions can be verified; parked: 2"


@in_virtual_time
async def test_an_entry_on_its_way_is_waited_for() -> None:
    world = await World(3).projected()
    world.put("entries", 2, lambda entry: None)
    asking = asyncio.create_task(world.verify(world.order_id, Consistency(max_wait=5)))
    await asyncio.sleep(0.01)
    event = world.source.journals_by_id[world.order_id][1]
    await world.store.apply([project(stream_event(event, 1))])
    world.board.announce([world.order_id])
    assert (await asking).found.valid


@in_virtual_time
async def test_a_token_is_honoured() -> None:
    world = await World(2).projected()
    versions = {world.order_id: 3}
    with pytest.raises(Lagging) as refusal:
        await world.verified(source_epoch=1, versions=versions)
    assert (refusal.value.needed_version, refusal.value.current_version) == (3, 2)
    stale = await world.verify(world.order_id, Consistency(1, versions, 0.02, stale_allowed=True))
    assert (stale.found.valid, stale.info.stale) == (True, True)
    await world.store.park(parked(world.order_id, 3))
    with pytest.raises(Parked):
        await world.verified(source_epoch=1, versions=versions)
    with pytest.raises(OrderUnknown):
        await world.verify("018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b", NOW)


@in_virtual_time
async def test_a_document_of_an_impossible_version_costs_no_endless_reading() -> None:
    world = await World(3).projected()
    world.put("orders", 0, changed(version=10**9))
    found = await world.verified()
    assert (found.first_broken_version, len(found.findings)) == (4, MOST_FINDINGS)


@pytest.mark.mutant
@in_virtual_time
async def test_a_hash_that_is_taken_and_not_computed_is_noticed() -> None:
    with noticed(Mutant(chain_fault, "computed == recorded.hash", "True")):
        await every_change_is_found()


@pytest.mark.mutant
@in_virtual_time
async def test_an_order_that_is_not_compared_is_noticed() -> None:
    mutant = Mutant(JournalCheck.document_fault, "self.head is None", "True")
    with noticed(mutant):
        world = await World(2).projected()
        world.put("orders", 0, changed(total=1))
        assert not (await world.verified()).valid


@pytest.mark.mutant
def test_comparing_the_fields_of_another_release_is_noticed() -> None:
    with noticed(Mutant(VerifyOrderHistory._verified, "await self._reader.has_own_content()", "True")):
        test_what_an_earlier_release_wrote_differently_is_not_broken_and_hashes_count_all_the_same()
