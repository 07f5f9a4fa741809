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

PARTS = st.tuples(st.integers(1, MAX_EPOCH), st.integers(1, MAX_VERSION), st.integers(0, MAX_REVISION))


@given(PARTS)
def test_the_parts_come_back(parts: tuple[int, int, int]) -> None:
    assert version_parts(external_version(*parts)) == parts


@given(PARTS, PARTS)
def test_epoch_counts_before_version_before_revision(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (external_version(*one) < external_version(*other)) == (one < other)


def test_it_is_the_published_formula() -> None:
    assert external_version(3, 7, 2) == 3 * 2**50 + 7 * 2**10 + 2


def test_the_greatest_is_a_signed_64_bit_integer() -> None:
    assert external_version(MAX_EPOCH, MAX_VERSION, MAX_REVISION) == 2**63 - 1


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ((0, 1, 0), "source epoch 0"),
        ((MAX_EPOCH + 1, 1, 0), "source epoch"),
        ((1, 0, 0), "order version 0"),
        ((1, MAX_VERSION + 1, 0), "order version"),
        ((1, 1, -1), "revision -1"),
        ((1, 1, MAX_REVISION + 1), "revision"),
    ],
)
def test_a_part_out_of_bounds_is_named(parts: tuple[int, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        external_version(*parts)


@pytest.mark.parametrize("number", [0, 1023, 2**10, 2**50, 2**63])
def test_other_numbers_have_no_parts(number: int) -> None:
    with pytest.raises(ValueError):
        version_parts(number)
