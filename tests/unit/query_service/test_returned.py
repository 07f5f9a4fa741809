"""What came back is worth what the write side no longer keeps."""

from __future__ import annotations

import random

from command_service.domain.line import OrderLine
from query_service.projection.recorded_order import Line
from query_service.projection.returned import returned_amount


def test_returned_pieces_cost_what_the_write_side_gives_up() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        quantity = chance.randint(1, 50)
        cancelled = chance.randint(0, quantity)
        returned = chance.randint(0, quantity - cancelled)
        price, discount, tax = chance.randint(0, 99_999), chance.choice((0, 500, 3_333)), chance.choice((0, 700, 1_900))
        line = OrderLine(
            1, "A", "A", price, quantity, discount, tax, cancelled_quantity=cancelled, returned_quantity=returned
        )
        recorded = Line(
            quantity=quantity,
            discount_basis_points=discount,
            tax_rate_basis_points=tax,
            cancelled_quantity=cancelled,
            returned_quantity=returned,
        )
        assert returned_amount(recorded, price) == line.net_amount + line.tax_amount - line.kept_amount
