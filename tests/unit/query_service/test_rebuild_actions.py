"""What an operator's actions on a rebuild do when generations differ, and when two actions overlap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from query_service.application.comparing.compare import Comparison
from query_service.application.comparing.findings import Finding, Kind
from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.generations import Part, Phase, Rebuild
from query_service.application.ports.read_store import Outcome, Refused, StoreIdentity
from query_service.application.rebuilding import rebuilds
from query_service.application.rebuilding.filling import Filler
from query_service.application.rebuilding.machine import RebuildRefused
from query_service.application.rebuilding.rebuilds import Rebuilds
from query_service.application.rebuilding.stored_state import change
from query_service.projection.errors import Unprojectable
from query_service.projection.project import ProjectedEvent
from query_service.wire.rebuild_fields import rebuild_fields, rebuild_message
from tests.support.queries.rebuild_world import RebuildWorld, WorldStore
from tests.support.source_mutants import Mutant, noticed

DIFFERENT = Comparison(1, 1, 1.0, 1, 1, [Finding(Kind.DOCUMENT_MISSING, "x", 1, "it is missing")])


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
    await filler.run(1, "first")
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


class OfAnotherRelease(WorldStore):
    """A generation that another release began."""

    async def identity(self) -> StoreIdentity:
        """See ProjectionWriter."""
        raise ReadStoreNotReady("it was made for another release")


@pytest.mark.parametrize("action", ["verify", "switch"])
async def test_only_the_release_that_began_a_rebuild_verifies_and_switches(action: str) -> None:
    world = RebuildWorld(Phase.VERIFIED)
    world.stores["g2"] = OfAnotherRelease("g2")
    world.stores["g2"].covers(world.source.time)
    before = world.stored
    with pytest.raises(RebuildRefused, match="use the release that began the rebuild"):
        await (world.actions.switch() if action == "switch" else world.actions.verify(world.source, world.compare))
    assert (world.readers, world.stored) == ("g1", before)


async def test_a_verification_by_another_release_is_refused() -> None:
    await test_only_the_release_that_began_a_rebuild_verifies_and_switches("verify")


async def test_a_verification_that_ends_after_a_switch_marks_nothing() -> None:
    world = RebuildWorld(Phase.VERIFIED)

    async def switched_meanwhile(store: Any) -> Comparison:
        await world.actions.switch()
        return DIFFERENT

    with pytest.raises(RebuildRefused, match="answers readers already"):
        await world.actions.verify(world.source, switched_meanwhile)
    await world.actions.roll_back()
    assert (world.readers, world.stored and world.stored.phase) == ("g1", Phase.VERIFIED)


# -- switch and rollback -------------------------------------------------------------------------------------------


async def test_a_switch_is_refused_when_a_verification_found_differences_meanwhile() -> None:
    world = RebuildWorld(Phase.VERIFIED)

    async def compared(store: Any) -> Comparison:
        return DIFFERENT

    async def verified_again() -> None:
        await world.actions.verify(world.source, compared)

    world.on_refresh = verified_again
    with pytest.raises(RebuildRefused, match="not verified"):
        await world.actions.switch()
    assert world.readers == "g1"


@pytest.mark.parametrize(("action", "before", "after"), [("switch", "g1", "g2"), ("roll_back", "g2", "g1")])
async def test_readers_move_only_to_a_generation_that_is_as_fresh(
    monkeypatch: pytest.MonkeyPatch, action: str, before: str, after: str
) -> None:
    monkeypatch.setattr(rebuilds, "CATCH_UP_SECONDS", 0)
    monkeypatch.setattr(rebuilds, "LOOK_SECONDS", 0)
    world = RebuildWorld(Phase.VERIFIED, serving=before)
    late = world.source.time + 9_000_000

    async def readers_generation_goes_on() -> None:
        world.stores[before].covers(late)

    world.on_refresh = readers_generation_goes_on
    with pytest.raises(RebuildRefused, match=f"{after} does not catch up: it shows 9.0 s less"):
        await getattr(world.actions, action)()
    assert world.readers == before
    world.stores[after].covers(late)
    await getattr(world.actions, action)()
    assert world.readers == after


@pytest.mark.parametrize(
    ("other", "block", "named"),
    [
        (0, "", r"is a projector running whose release fits it"),
        (3_000_000, "", r"the other generation lags too: is the relay publishing .*, and is a projector running"),
        (None, "", r"the other generation lags too: is the relay publishing"),
        (3_000_000, "the disk is full", r"after 0 s; the disk is full$"),
    ],
)
async def test_a_generation_that_does_not_catch_up_says_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, other: int | None, block: str, named: str
) -> None:
    monkeypatch.setattr(rebuilds, "CATCH_UP_SECONDS", 0)
    monkeypatch.setattr(rebuilds, "LOOK_SECONDS", 0)
    world = RebuildWorld(Phase.CATCHING_UP)
    world.block = block
    world.source.time += 9_000_000
    world.stores["g2"].covers(world.source.time - 9_000_000)
    if other is None:
        world.stores["g1"] = WorldStore("g1")
    else:
        world.stores["g1"].covers(world.source.time - other)
    with pytest.raises(RebuildRefused, match=rf"g2 does not catch up: it shows 9\.0 s less.*{named}"):
        await world.actions.verify(world.source, world.compare)


async def test_a_block_comes_before_what_the_workers_stored() -> None:
    world = RebuildWorld(Phase.CATCHING_UP)
    assert world.stored is not None
    world.stored = replace(world.stored, problem="not equal: x")
    status = await world.actions.status()
    assert status is not None
    assert (status.problem, rebuild_fields(status)["problem"]) == ("not equal: x", "not equal: x")
    world.block = "the disk is full"
    status = await world.actions.status()
    assert status is not None
    fields, message = rebuild_fields(status), rebuild_message(status)
    assert (fields["problem"], message.problem) == ("the disk is full", "the disk is full")


async def test_a_switch_to_a_generation_that_stands_still_is_refused() -> None:
    with pytest.MonkeyPatch.context() as patch:
        await test_readers_move_only_to_a_generation_that_is_as_fresh(patch, "switch", "g1", "g2")


async def test_what_readers_saw_during_the_refresh_is_searchable_when_they_are_moved() -> None:
    world, searchable = RebuildWorld(Phase.VERIFIED), list[int]()
    late = world.source.time + 9_000_000

    async def both_go_on_meanwhile() -> None:
        known = await world.stores["g2"].freshness()
        searchable.append(known.as_of if known else 0)
        for store in world.stores.values():
            store.covers(late)

    async def before_serve() -> None:
        assert searchable[-1] == late

    world.on_refresh, world.before_serve = both_go_on_meanwhile, before_serve
    await world.actions.switch()
    assert world.readers == "g2"


def another_rebuild() -> Rebuild:
    """Returns a rebuild that was started after the first one was cancelled."""
    return Rebuild("second", "g1", "g3", Phase.FILLING, 1, parts=(Part(),))


async def test_a_switch_that_slept_changes_no_later_rebuild() -> None:
    world = RebuildWorld(Phase.VERIFIED)

    async def another_is_verified() -> None:
        world.stored = replace(another_rebuild(), phase=Phase.VERIFIED)

    world.on_refresh = another_is_verified
    with pytest.raises(RebuildRefused, match="another rebuild was started meanwhile"):
        await world.actions.switch()
    assert (world.readers, world.stored and world.stored.switched_at) == ("g1", 0)


async def test_a_filling_that_slept_changes_no_later_rebuild() -> None:
    world = RebuildWorld(Phase.FILLING)
    world.stored = another_rebuild()
    with pytest.raises(RebuildRefused, match="another rebuild was started meanwhile"):
        await filled(world)
    assert world.stored == another_rebuild()


# -- finish and cancel ---------------------------------------------------------------------------------------------


async def test_a_rollback_that_waits_while_the_rebuild_is_finished_is_refused() -> None:
    world = RebuildWorld(Phase.VERIFIED, serving="g2")

    async def finished_meanwhile() -> None:
        await world.actions.finish()

    world.on_refresh = finished_meanwhile
    with pytest.raises(RebuildRefused, match="no rebuild is running"):
        await world.actions.roll_back()
    assert (world.readers, set(world.stores), world.consumers) == ("g2", {"g2"}, {"g2"})


@pytest.mark.parametrize(("action", "kept", "late"), [("finish", "g2", "g1"), ("cancel", "g1", "g2")])
async def test_readers_who_are_moved_at_the_last_moment_come_back(action: str, kept: str, late: str) -> None:
    world = RebuildWorld(Phase.VERIFIED, serving=kept)

    async def moved() -> None:
        await world.serve(late, instead_of=kept)

    world.before_delete = moved
    await getattr(world.actions, action)()
    assert (world.readers, set(world.stores), world.consumers) == (kept, {kept}, {kept})


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.CATCHING_UP, Phase.VERIFIED])
async def test_nothing_is_cancelled_whose_generation_answers_readers(phase: Phase) -> None:
    world = RebuildWorld(phase, serving="g2")
    before = world.stored
    with pytest.raises(RebuildRefused, match="g2 answers readers"):
        await world.actions.cancel()
    assert (world.stored, set(world.stores)) == (before, {"g1", "g2"})


@pytest.mark.parametrize(("phase", "kept"), [(Phase.FINISHED, "g2"), (Phase.CANCELLED, "g1")])
async def test_a_start_deletes_what_a_killed_end_left(phase: Phase, kept: str) -> None:
    world = RebuildWorld(phase, serving=kept)
    await world.actions.start(world.source)
    assert (world.readers, set(world.stores), world.consumers) == (kept, {kept, "g3"}, {kept, "g3"})


async def test_a_start_after_a_killed_finish_deletes_the_old_generation() -> None:
    await test_a_start_deletes_what_a_killed_end_left(Phase.FINISHED, "g2")


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], Awaitable[None]]]] = {
    "what the new generation parks is excused": (
        Mutant(Rebuilds.verify, "*await parked_apart(store, old, MOST_FINDINGS)", ""),
        test_what_only_the_new_generation_parks_is_a_difference,
    ),
    "a verification believes that the old generation answers readers": (
        Mutant(Rebuilds.verify, "check(stored, serving, ", "check(stored, rebuild.old, "),
        test_a_verification_that_ends_after_a_switch_marks_nothing,
    ),
    "a switch does not look again": (
        Mutant(Rebuilds._move, "await self._checked(action, rebuild.rebuild_id)", "pass"),
        test_a_switch_is_refused_when_a_verification_found_differences_meanwhile,
    ),
    "a switch goes back in time": (
        Mutant(Rebuilds._catch_up, "range(2)", "range(1)"),
        test_a_switch_to_a_generation_that_stands_still_is_refused,
    ),
    "lists go back in time": (
        Mutant(Rebuilds._catch_up, "range(2)", "range(1)"),
        test_what_readers_saw_during_the_refresh_is_searchable_when_they_are_moved,
    ),
    "another release verifies": (
        Mutant(Rebuilds.verify, "await check_release(store, rebuild.new)", "pass"),
        test_a_verification_by_another_release_is_refused,
    ),
    "a filling goes on with another rebuild": (
        Mutant(change, "check_same(stored.rebuild, rebuild_id)", "pass"),
        test_a_filling_that_slept_changes_no_later_rebuild,
    ),
    "a rollback does not look again": (
        Mutant(Rebuilds._move, "await self._checked(action, rebuild.rebuild_id)", "pass"),
        test_a_rollback_that_waits_while_the_rebuild_is_finished_is_refused,
    ),
    "what a killed end left stays": (
        Mutant(Rebuilds._delete_left, "if gone != serving:", "if False:"),
        test_a_start_after_a_killed_finish_deletes_the_old_generation,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_an_action_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check = MUTANTS[mutant]
    with noticed(at_work, or_raises=(ReadStoreNotReady,)):
        await check()
