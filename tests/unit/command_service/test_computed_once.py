"""A property that is computed once is computed at its first use, for each object, and read like a field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from command_service.domain.computed_once import computed_once
from tests.support.source_mutants import Mutant, noticed

COMPUTED = list[int]()


@dataclass(frozen=True)
class Square:
    side: int

    @computed_once
    def area(self) -> int:
        """The area."""
        COMPUTED.append(self.side)
        return self.side**2


def check_each_is_computed_once() -> None:
    COMPUTED.clear()
    small = Square(2)
    large = replace(small, side=3)
    assert [small.area, small.area, large.area, small.area] == [4, 4, 9, 4]
    assert COMPUTED == [2, 3]
    assert (small, hash(small)) == (Square(2), hash(Square(2)))
    assert Square.area.__doc__ == "The area."


def test_each_is_computed_once() -> None:
    check_each_is_computed_once()


@pytest.mark.mutant
def test_a_value_that_is_not_kept_is_noticed() -> None:
    with noticed(Mutant(computed_once.__get__, "value = owner.__dict__[self._name] =", "value =")):
        check_each_is_computed_once()
