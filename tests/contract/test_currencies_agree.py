"""Both sides count money in the same minor units."""

from command_service.domain.currencies import EXPONENTS
from query_service.projection.currency import exponent_of


def test_both_sides_know_the_same_minor_units() -> None:
    assert {code: exponent_of(code) for code in EXPONENTS} == dict(EXPONENTS)
