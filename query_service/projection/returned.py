"""Computes what the pieces that came back had cost."""

from __future__ import annotations

from collections.abc import Iterable

from query_service.projection.order_document import LineDocument

#: Rates are hundredths of a percent.
_BASIS_POINTS = 10_000


def returned_total(lines: Iterable[LineDocument]) -> int:
    """Returns net plus tax of the returned pieces, in minor units.

    A line is rounded as a whole. So a line's returned pieces cost what the line costs less what the other pieces would.
    """
    return sum(_charged(line, 0) - _charged(line, line["returned_quantity"]) for line in lines)


def _charged(line: LineDocument, without: int) -> int:
    """Returns net plus tax of the pieces that were not cancelled, without so many of them."""
    pieces = line["quantity"] - line["cancelled_quantity"] - without
    net = _half_even((line["unit_price"] or 0) * pieces * (_BASIS_POINTS - line["discount_basis_points"]))
    return net + _half_even(net * line["tax_rate_basis_points"])


def _half_even(numerator: int) -> int:
    """Divides by _BASIS_POINTS; a half is rounded to the even number."""
    quotient, rest = divmod(numerator, _BASIS_POINTS)
    return quotient + (2 * rest > _BASIS_POINTS or (2 * rest == _BASIS_POINTS and quotient % 2))
