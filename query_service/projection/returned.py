"""Computes what the pieces that came back had cost."""

from __future__ import annotations

from query_service.projection.recorded_order import Line

#: Rates are hundredths of a percent.
_BASIS_POINTS = 10_000


def returned_amount(line: Line, unit_price: int) -> int:
    """Returns net plus tax of a line's returned pieces. Amounts are in minor units.

    A line is rounded as a whole. So its returned pieces cost what the line costs less what the other pieces would.
    """
    return _charged(line, unit_price, 0) - _charged(line, unit_price, line.returned_quantity)


def _charged(line: Line, unit_price: int, without: int) -> int:
    """Returns net plus tax of the pieces that were not cancelled, without so many of them."""
    pieces = line.quantity - line.cancelled_quantity - without
    net = _half_even(unit_price * pieces * (_BASIS_POINTS - line.discount_basis_points))
    return net + _half_even(net * line.tax_rate_basis_points)


def _half_even(numerator: int) -> int:
    """Divides by _BASIS_POINTS; a half is rounded to the even number."""
    quotient, rest = divmod(numerator, _BASIS_POINTS)
    return quotient + (2 * rest > _BASIS_POINTS or (2 * rest == _BASIS_POINTS and quotient % 2))
