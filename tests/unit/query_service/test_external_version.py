"""The external version: epoch before version before revision, within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_service.projection.external_version import (
    MAX_EPOCH,
    MAX_REVISION,
    MAX_VERSION,
    external_version,
    version_parts,
)
from tests.support.source_mutants import Mutant, noticed

PARTS = st.tuples(st.integers(1, MAX_EPOCH), st.integers(1, MAX_VERSION), st.integers(0, MAX_REVISION))


def check_parts(parts: tuple[int, int, int]) -> None:
    assert version_parts(external_version(*parts)) == parts


def check_order(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (external_version(*one) < external_version(*other)) == (one < other)


@given(PARTS)
def test_the_parts_come_back(parts: tuple[int, int, int]) -> None:
    check_parts(parts)


@given(PARTS, PARTS)
def test_epoch_counts_before_version_before_revision(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    check_order(one, other)


def test_it_is_the_published_formula() -> None:
    assert external_version(3, 7, 2) == 3 * 2**50 + 7 * 2**10 + 2


def test_the_greatest_is_a_signed_64_bit_integer() -> None:
    assert external_version(MAX_EPOCH, MAX_VERSION, MAX_REVISION) == 2**63 - 1


#: Parts that are out of bounds, and how they are named.
OUT_OF_BOUNDS = [
    ((0, 1, 0), "source epoch 0"),
    ((MAX_EPOCH + 1, 1, 0), "source epoch"),
    ((1, 0, 0), "order version 0"),
    ((1, MAX_VERSION + 1, 0), "order version"),
    ((1, 1, -1), "revision -1"),
    ((1, 1, MAX_REVISION + 1), "revision"),
]
OTHER_NUMBERS = [0, 1023, 2**10, 2**50, 2**63]


@pytest.mark.parametrize(("parts", "named"), OUT_OF_BOUNDS)
def test_a_part_out_of_bounds_is_named(parts: tuple[int, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        external_version(*parts)


@pytest.mark.parametrize("number", OTHER_NUMBERS)
def test_other_numbers_have_no_parts(number: int) -> None:
    with pytest.raises(ValueError):
        version_parts(number)


#: What goes wrong → the mutant. The formula itself is left out: it would notice anything.
MUTANTS = {
    "versions count before sources": Mutant(external_version, "<< (VERSION_BITS + REVISION_BITS)", "<< REVISION_BITS"),
    "revisions count before versions": Mutant(external_version, "| revision", "| (revision << VERSION_BITS)"),
    "a version takes the place of a revision": Mutant(external_version, "(version << REVISION_BITS)", "version"),
    "any source": Mutant(external_version, "not 1 <= source_epoch <= MAX_EPOCH", "False"),
    "any version": Mutant(external_version, "not 1 <= version <= MAX_VERSION", "False"),
    "any revision": Mutant(external_version, "not 0 <= revision <= MAX_REVISION", "False"),
    "any number": Mutant(version_parts, "not 1 <= epoch <= MAX_EPOCH or not version", "False"),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_order_of_writes_that_goes_wrong_is_noticed(mutant: str) -> None:
    with noticed(MUTANTS[mutant], or_raises=(ValueError,)):
        check_parts((3, 7, 2))
        check_order((1, MAX_VERSION, 0), (2, 1, 0))
        check_order((1, 1, MAX_REVISION), (1, 2, 0))
        for parts, named in OUT_OF_BOUNDS:
            test_a_part_out_of_bounds_is_named(parts, named)
        for number in OTHER_NUMBERS:
            test_other_numbers_have_no_parts(number)
