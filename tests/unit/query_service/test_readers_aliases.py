"""Which index readers must be sent to, while there are one, two or three generations."""

from __future__ import annotations

import pytest

from query_service.application.ports.generations import Phase, Rebuild
from query_service.storage.physical.generations.readers_aliases import Alias, right_generation
from tests.support.source_mutants import Mutant, noticed


def an_alias(generation: str, **sizes: int) -> Alias:
    """Returns an alias of the orders; `generation` "" is an index of another name."""
    return Alias("orders", f"orders-{generation or 'other'}", generation, sizes)


def a_rebuild(phase: Phase) -> Rebuild:
    """Returns a rebuild of g1 into g2."""
    return Rebuild("id", "g1", "g2", phase, 1)


CASES = [
    # alias of the orders, generation of the other alias, rebuild, the right generation ("": nothing is wrong)
    (an_alias("g1", g1=0), "g1", None, ""),
    (an_alias("g1", g1=5), "g1", None, ""),
    (an_alias("", g1=5), "g1", None, "g1"),
    (an_alias("g2", g1=5, g2=0), "g1", None, "g1"),
    (an_alias("g1", g1=5, g2=5), "g1", None, ""),
    (an_alias("", g1=5, g2=5), "g2", a_rebuild(Phase.VERIFIED), "g2"),
    (an_alias("", g1=5, g2=5), "g1", a_rebuild(Phase.VERIFIED), "g1"),
    (an_alias("", g1=5, g2=5), "", a_rebuild(Phase.VERIFIED), "g1"),
    (an_alias("", g1=5, g2=5), "", a_rebuild(Phase.FINISHED), "g2"),
    (an_alias("", g1=5, g2=5), "", a_rebuild(Phase.CANCELLED), "g1"),
    (an_alias("g2", g1=5, g2=5), "g2", a_rebuild(Phase.VERIFIED), ""),
    (an_alias("g2", g1=5, g2=3), "g1", a_rebuild(Phase.FILLING), "g1"),
    (an_alias("g3", g1=5, g2=5, g3=0), "g1", a_rebuild(Phase.FILLING), "g1"),
    (an_alias("g1", g1=0, g2=1), "g1", a_rebuild(Phase.FILLING), ""),
]


@pytest.mark.parametrize(("alias", "other", "rebuild", "right"), CASES)
def test_the_right_generation_is_known(alias: Alias, other: str, rebuild: Rebuild | None, right: str) -> None:
    sizes = {**alias.sizes}
    journal = Alias("order-events", f"order-events-{other or 'other'}", other, sizes)
    assert alias.is_wrong(rebuild) == bool(right)
    if right:
        assert right_generation(alias, [journal], rebuild) == right


def test_nothing_is_guessed_when_two_have_documents_and_no_rebuild_tells() -> None:
    alias = an_alias("", g1=5, g2=5)
    assert alias.is_wrong(None)
    assert right_generation(alias, [alias], None) == ""


@pytest.mark.mutant
def test_looking_for_one_filled_generation_only_is_noticed() -> None:
    with noticed(Mutant(Alias.is_wrong, "not self.filled()", "len(self.filled()) != 1")):
        test_the_right_generation_is_known(*CASES[5])


@pytest.mark.mutant
def test_moving_readers_to_a_generation_that_is_being_filled_is_noticed() -> None:
    with noticed(Mutant(Alias.is_wrong, "rebuild is None or rebuild.ended or", "True or")):
        test_the_right_generation_is_known(*CASES[13])
