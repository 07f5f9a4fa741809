"""Visibility as Postgres defines it, checked against a plain model of transactions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events.snapshot import Snapshot
from tests.support.source_mutants import Mutant, noticed


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    xmin = draw(st.integers(3, 1 << 40))
    width = draw(st.integers(0, 40))
    inside = draw(st.sets(st.integers(xmin, xmin + width - 1), max_size=20)) if width else set()
    return Snapshot(xmin, xmin + width, tuple(sorted(inside)))


@given(snapshots())
def test_text_round_trip(snapshot: Snapshot) -> None:
    assert Snapshot.parse(snapshot.text) == snapshot


def check_sees(snapshot: Snapshot, offset: int) -> None:
    transaction = snapshot.xmin + offset
    ended = transaction < snapshot.xmin or (
        transaction < snapshot.xmax and transaction not in set(snapshot.in_progress)
    )
    assert snapshot.sees(transaction) is ended


@given(snapshots(), st.integers(-5, 45))
def test_sees_exactly_what_had_ended(snapshot: Snapshot, offset: int) -> None:
    check_sees(snapshot, offset)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Snapshot, Snapshot, set[int]]:
    """Two snapshots of one history, and the transactions that ended between them."""
    first = draw(snapshots())
    begun = list(range(first.xmax, first.xmax + draw(st.integers(0, 10))))
    may_end = [*first.in_progress, *begun]
    ended = draw(st.sets(st.sampled_from(may_end))) if may_end else set()
    open_still = tuple(one for one in may_end if one not in ended)
    xmax = max([first.xmax, *(one + 1 for one in begun)])
    return first, Snapshot(min([xmax, *open_still]), xmax, open_still), ended


def check_difference(first: Snapshot, second: Snapshot, ended: set[int]) -> None:
    found = set(first.ended_until(second)) | {
        one for one in range(first.xmax, second.xmax) if second.sees(one) and not first.sees(one)
    }
    assert found == ended
    if first.sees_as_much_as(second):
        assert not ended


@given(histories())
def test_difference_is_what_ended_in_between(history: tuple[Snapshot, Snapshot, set[int]]) -> None:
    check_difference(*history)


@pytest.mark.parametrize(
    "text", ["", "1:2", "2:1:", "1:2:3", "1:9:5,4", "1:9:4,4", "4:9:3", "a:b:c", "1:2: ", "١:2:", "1:5:2,"]
)
def test_refuses_what_is_no_snapshot(text: str) -> None:
    with pytest.raises(ValueError, match="not a pg_snapshot"):
        Snapshot.parse(text)


#: What goes wrong → the mutant.
MUTANTS = {
    "all that has begun has ended": Mutant(
        Snapshot.sees, "at == len(self.in_progress) or self.in_progress[at] != transaction_id", "True"
    ),
    "what begins later has ended": Mutant(Snapshot.sees, "transaction_id >= self.xmax", "False"),
    "nothing ends": Mutant(Snapshot.ended_until, "if later.sees(one)", "if False"),
    "everything ends": Mutant(Snapshot.ended_until, "if later.sees(one)", ""),
    "what was in progress does not count": Mutant(Snapshot.sees_as_much_as, "and not self.ended_until(later)", ""),
    "what has begun since does not count": Mutant(Snapshot.sees_as_much_as, "self.xmax == later.xmax and", ""),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_difference_that_goes_wrong_is_noticed(mutant: str) -> None:
    first = Snapshot(10, 14, (11, 13))
    with noticed(MUTANTS[mutant]):
        for offset in range(-2, 8):
            check_sees(first, offset)
        check_difference(first, Snapshot(13, 14, (13,)), {11})
        check_difference(first, Snapshot(11, 16, (11, 13)), {14, 15})
