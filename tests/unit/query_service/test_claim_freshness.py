"""Claims of freshness: never ahead of what every projector has acknowledged, never from an earlier stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.application.ports.read_store import Freshness
from query_service.application.projecting.claim_freshness import BarrierLedger, Coverage
from query_service.application.projecting.project_events import ReachedBarrier
from query_service.projection.stream_event import Barrier
from tests.support.source_mutants import Mutant, noticed

CREATED = 1000


def reached(sequence: int, *, time: int | None = None, stored_at: int = CREATED + 1) -> ReachedBarrier:
    return ReachedBarrier(sequence, stored_at, Barrier(sequence * 10 if time is None else time, 1))


def check_claims(sequences: list[int], floors: list[int]) -> None:
    ledger = BarrierLedger()
    for sequence in sequences:
        ledger.add(reached(sequence))
    for floor in floors:
        claimed = ledger.claim(floor, CREATED)
        left = [sequence for sequence in sequences if sequence <= floor]
        assert (claimed.sequence if claimed else None) == max(left, default=None)
        sequences = [sequence for sequence in sequences if sequence > floor]
        assert ledger.waiting == bool(sequences)


@given(st.lists(st.integers(1, 100), unique=True), st.lists(st.integers(0, 110)))
def test_a_claim_is_never_ahead_of_the_ack_floor(sequences: list[int], floors: list[int]) -> None:
    check_claims(sequences, floors)


def test_a_barrier_without_time_is_of_no_use() -> None:
    ledger = BarrierLedger()
    ledger.add(ReachedBarrier(1, CREATED, Barrier(None, 1)))
    assert not ledger.waiting


def test_a_barrier_of_an_earlier_stream_claims_nothing() -> None:
    ledger = BarrierLedger()
    ledger.add(reached(5, stored_at=CREATED - 1))
    ledger.add(reached(3))
    claimed = ledger.claim(10, CREATED)
    assert claimed is not None
    assert claimed.sequence == 3
    assert not ledger.waiting


def test_messages_that_left_before_they_were_projected_are_counted() -> None:
    coverage = Coverage(None)
    assert coverage.lost(CREATED, first_sequence=1, ack_floor=0) == 0
    assert coverage.lost(CREATED, first_sequence=1, ack_floor=10) == 0
    assert coverage.lost(CREATED, first_sequence=11, ack_floor=10) == 0
    # the server has moved the floor past what is gone
    assert coverage.lost(CREATED, first_sequence=15, ack_floor=14) == 4
    assert coverage.lost(CREATED, first_sequence=15, ack_floor=20) == 4


def test_what_the_read_model_had_before_counts() -> None:
    known = Freshness(1, 1, "g1", CREATED, 30)
    assert Coverage(known).lost(CREATED, first_sequence=31, ack_floor=0) == 0
    assert Coverage(known).lost(CREATED, first_sequence=32, ack_floor=0) == 1


def test_a_new_stream_is_covered_from_its_beginning_or_not() -> None:
    known = Freshness(1, 1, "g1", CREATED, 30)
    assert Coverage(known).lost(CREATED + 1, first_sequence=1, ack_floor=0) == 0
    assert Coverage(known).lost(CREATED + 1, first_sequence=3, ack_floor=2) == 2


#: What goes wrong → the mutant.
MUTANTS = {
    "a barrier is believed at once": Mutant(BarrierLedger.claim, "ours if reached.sequence <= ack_floor", "ours"),
    "a barrier is claimed again and again": Mutant(BarrierLedger.claim, "ours if reached.sequence > ack_floor", "ours"),
    "the first barrier is claimed": Mutant(BarrierLedger.claim, "max(", "min("),
    "numbers of an earlier stream count": Mutant(BarrierLedger.claim, " if reached.stored_at >= stream_created_at", ""),
    "a barrier without time is kept": Mutant(BarrierLedger.add, "reached.barrier.time is not None", "True"),
    "the floor of an earlier stream counts": Mutant(
        Coverage.lost, "stream_created_at, 0", "stream_created_at, self._covered"
    ),
    "what left the stream counts as projected": Mutant(Coverage.lost, "if not missing:", "if True:"),
    "what is known is forgotten": Mutant(Coverage.__init__, "known.sequence", "0"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_claim_that_goes_wrong_is_noticed(mutant: str) -> None:
    with noticed(MUTANTS[mutant]):
        check_claims([3, 5, 9], [4, 4, 20])
        test_a_barrier_without_time_is_of_no_use()
        test_a_barrier_of_an_earlier_stream_claims_nothing()
        test_messages_that_left_before_they_were_projected_are_counted()
        test_what_the_read_model_had_before_counts()
        test_a_new_stream_is_covered_from_its_beginning_or_not()
