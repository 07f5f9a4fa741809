"""What came back is worth what the write side no longer keeps."""

from __future__ import annotations

import random

from command_service.domain.line import OrderLine
from query_service.projection.order_document import LineDocument
from query_service.projection.returned import returned_total


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
        document = LineDocument(
            line_number=1,
            sku="A",
            product_name="A",
            unit_price=price,
            quantity=quantity,
            discount_basis_points=discount,
            tax_rate_basis_points=tax,
            net_amount=line.net_amount,
            tax_amount=line.tax_amount,
            cancelled_quantity=cancelled,
            shipped_quantity=returned,
            delivered_quantity=returned,
            returned_quantity=returned,
        )
        assert returned_total([document, document]) == 2 * (line.net_amount + line.tax_amount - line.kept_amount)
