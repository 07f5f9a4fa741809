"""What each action does in each phase of a rebuild, who feeds which generation, and who fills which range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.generations import Part, Phase, Rebuild
from query_service.application.ports.read_store import Freshness, Standing
from query_service.application.rebuilding import machine
from query_service.application.rebuilding.leases import LEASE, claimed, holders, parts_until, reported
from query_service.application.rebuilding.machine import (
    Action,
    Feed,
    RebuildRefused,
    Tail,
    check,
    feeds,
    next_generation,
    phase_of,
)
from query_service.application.rebuilding.rebuilds import status_of
from tests.support.source_mutants import Mutant, noticed


def a_rebuild(phase: Phase) -> tuple[Rebuild, str]:
    """Returns a rebuild in a phase, and the generation that answers readers then."""
    stored = Phase.VERIFIED if phase in (Phase.SWITCHED, Phase.ROLLED_BACK) else phase
    rebuild = Rebuild("id", "g1", "g2", stored, 1, tail_sequence=7, stream_created_at=5)
    if phase is Phase.ROLLED_BACK:
        rebuild = replace(rebuild, switched_at=9)
    return rebuild, "g2" if phase in (Phase.SWITCHED, Phase.FINISHED) else "g1"


#: Phase → the actions that are allowed. All others are refused.
ALLOWED: dict[Phase, set[Action]] = {
    Phase.PREPARED: {Action.START, Action.CANCEL},
    Phase.FILLING: {Action.START, Action.CANCEL},
    Phase.CATCHING_UP: {Action.VERIFY, Action.CANCEL},
    Phase.VERIFIED: {Action.VERIFY, Action.SWITCH, Action.CANCEL},
    Phase.SWITCHED: {Action.ROLLBACK, Action.FINISH},
    Phase.ROLLED_BACK: {Action.VERIFY, Action.SWITCH, Action.CANCEL},
    Phase.FINISHED: {Action.START, Action.FINISH},
    Phase.CANCELLED: {Action.START, Action.CANCEL},
}


def test_every_action_in_every_phase() -> None:
    for phase in Phase:
        rebuild, serving = a_rebuild(phase)
        assert phase_of(rebuild, serving) is phase
        for action in Action:
            if action in ALLOWED[phase]:
                assert check(rebuild, serving, action) is phase, (phase, action)
                continue
            with pytest.raises(RebuildRefused) as refusal:
                check(rebuild, serving, action)
            assert any(name in str(refusal.value) for name in ("g1", "g2", "no rebuild")), (phase, action)
            assert "{" not in str(refusal.value)


def test_a_generation_that_answers_readers_is_never_only_catching_up() -> None:
    assert phase_of(a_rebuild(Phase.CATCHING_UP)[0], "g2") is Phase.SWITCHED
    assert check(a_rebuild(Phase.CATCHING_UP)[0], "g2", Action.ROLLBACK) is Phase.SWITCHED


def test_without_a_rebuild_only_a_start_is_allowed() -> None:
    assert check(None, "g1", Action.START) is None
    for action in set(Action) - {Action.START}:
        with pytest.raises(RebuildRefused, match="tandem rebuild start"):
            check(None, "g1", action)


def test_who_must_be_fed() -> None:
    tail = Tail(5, 7)
    both = [Feed("g1"), Feed("g2", tail=tail, serving=False)]
    expected = {
        Phase.PREPARED: [Feed("g1")],
        Phase.FILLING: [Feed("g1"), Feed("g2", complete=False, tail=tail, serving=False)],
        Phase.CATCHING_UP: both,
        Phase.VERIFIED: both,
        Phase.SWITCHED: [Feed("g2", tail=tail), Feed("g1", serving=False)],
        Phase.ROLLED_BACK: both,
        Phase.FINISHED: [Feed("g2")],
        Phase.CANCELLED: [Feed("g1")],
    }
    for phase, wanted in expected.items():
        assert feeds(*a_rebuild(phase)) == wanted, phase
    assert feeds(None, "g7") == [Feed("g7")]


def test_readers_who_were_sent_elsewhere_stop_no_projector() -> None:
    assert feeds(None, "empty") == [Feed("g1")]
    for phase, wanted in ((Phase.FINISHED, "g2"), (Phase.CANCELLED, "g1"), (Phase.PREPARED, "g1")):
        assert feeds(a_rebuild(phase)[0], "empty") == [Feed(wanted)]
    assert [feed.generation for feed in feeds(a_rebuild(Phase.SWITCHED)[0], "empty")] == ["g1", "g2"]


def test_no_generation_has_the_name_of_an_earlier_one() -> None:
    assert next_generation(None, "g1") == "g2"
    assert next_generation(a_rebuild(Phase.CANCELLED)[0], "g1") == "g3"
    assert next_generation(a_rebuild(Phase.FINISHED)[0], "g2") == "g3"


def filling(*parts: Part) -> Rebuild:
    return replace(a_rebuild(Phase.FILLING)[0], parts=parts, orders=100, filling_since=1_000_000)


def test_a_range_belongs_to_one_worker_until_its_lease_is_over() -> None:
    rebuild = filling(*parts_until(["5"]))
    assert [(part.done_until, part.until) for part in rebuild.parts] == [("", "5"), ("5", "")]
    rebuild, first = claimed(rebuild, "a", 0)
    rebuild, second = claimed(rebuild, "b", 0)
    assert (first, second) == (0, 1)
    assert claimed(rebuild, "c", LEASE)[1] is None
    assert claimed(rebuild, "b", 1)[1] == 1  # it goes on with its own after a failure
    assert holders(rebuild, LEASE) == ["a", "b"]
    rebuild = reported(rebuild, {0: replace(rebuild.parts[0], done_until="3", orders=3)}, LEASE)
    rebuild, taken = claimed(rebuild, "c", LEASE + 1)
    assert taken == 1  # a has renewed its lease, b has not
    late = reported(rebuild, {1: Part("", "9", done=True, worker="b")}, LEASE + 2)
    assert late == rebuild
    rebuild, taken = claimed(rebuild, "d", 3 * LEASE)
    assert (taken, rebuild.parts[0].done_until, rebuild.parts[0].orders) == (0, "3", 3)


def test_what_is_no_longer_filled_is_given_to_nobody() -> None:
    cancelled = replace(filling(Part()), phase=Phase.CANCELLED)
    for attempt in (lambda: claimed(cancelled, "a", 0), lambda: reported(cancelled, {}, 0)):
        with pytest.raises(RebuildRefused, match="CANCELLED"):
            attempt()


def test_progress_has_rate_and_time_left() -> None:
    status = status_of(filling(Part(orders=20)), "g1", 5_000_000)
    assert (status.rate, status.seconds_left) == (5.0, 16.0)
    filled = replace(filling(Part(orders=100)), phase=Phase.CATCHING_UP, filled_at=21_000_000)
    assert (status_of(filled, "g1", 99_000_000).rate, status_of(filled, "g1", 99_000_000).seconds_left) == (5.0, None)


def test_an_answer_claims_what_its_own_generation_has() -> None:
    view = FreshnessView()
    view.follow(Standing("g1", ("g1", "g2"), [Freshness(20, 1, "g1", 5, 2), Freshness(10, 1, "g2", 5, 1)]))
    claims = view.claims()
    view.observe(Freshness(30, 1, "g2", 5, 3))
    assert [claims.info(name).as_of for name in ("g1", "g2", "", "g3")] == [20, 10, 10, None]
    assert view.info().as_of == 20
    view.follow(Standing("g2", ("g2",), []))
    assert [view.claims().info(name).as_of for name in ("g1", "g2")] == [None, 30]


#: What goes wrong → the mutant, and the test that must notice it.
MUTANTS: dict[str, tuple[Mutant, Callable[[], None]]] = {
    "every action is allowed": (
        Mutant(machine.check, "if refusal is not None:", "if False:"),
        test_every_action_in_every_phase,
    ),
    "a generation claims before it is filled": (
        Mutant(machine.feeds, "rebuild.phase is not Phase.FILLING", "True"),
        test_who_must_be_fed,
    ),
    "a lease never ends": (
        Mutant(claimed, "part.lease_until < now", "False"),
        test_a_range_belongs_to_one_worker_until_its_lease_is_over,
    ),
    "a worker that lost its range goes on": (
        Mutant(reported, ".worker == part.worker", ".worker"),
        test_a_range_belongs_to_one_worker_until_its_lease_is_over,
    ),
    "gone generations are remembered": (
        Mutant(FreshnessView.follow, "if name in standing.generations", "if name"),
        test_an_answer_claims_what_its_own_generation_has,
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rebuild_that_goes_wrong_is_noticed(mutant: str) -> None:
    at_work, check_it = MUTANTS[mutant]
    with noticed(at_work):
        check_it()
