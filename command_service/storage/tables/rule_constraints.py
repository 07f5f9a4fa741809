"""Lists which constraints enforce which business rule a second time, against writers that bypass the domain.

A constraint sees only the new row. The rules that are not listed depend on more: on the order before the change, or on
the time. Or they came later, as the number of labels did: a new constraint would first read every order. The domain
alone enforces those, while the order is locked.
"""

from __future__ import annotations

from collections.abc import Mapping

from command_service.domain import rules
from command_service.domain.rules import Rule

HELD_BY: Mapping[Rule, tuple[str, ...]] = {
    rules.ORDER_ID_TAKEN: ("orders_pkey",),
    rules.ORDER_NUMBER_TAKEN: ("orders_source_order_number_key",),
    rules.QUANTITY_RANGE: (
        "order_lines_quantity_check",
        "shipment_lines_quantity_check",
        "return_lines_quantity_check",
    ),
    rules.RATE_RANGE: ("order_lines_discount_basis_points_check", "order_lines_tax_rate_basis_points_check"),
    rules.AMOUNT_NEGATIVE: ("order_lines_unit_price_check", "orders_freight_check"),
    rules.AMOUNT_TOO_LARGE: (
        "order_lines_unit_price_check",
        "orders_freight_check",
        "orders_total_limit_check",
        "payments_amount_check",
        "refunds_amount_check",
    ),
    rules.ONE_CURRENCY: ("orders_currency_code_check",),
    rules.AMOUNT_POSITIVE: ("payments_amount_check", "refunds_amount_check"),
    rules.LINE_UNKNOWN: ("shipment_lines_order_id_line_number_fkey", "return_lines_order_id_line_number_fkey"),
    rules.LINE_NAMED_ONCE: ("shipment_lines_pkey", "return_lines_pkey"),
    rules.MOVEMENT_ID_TAKEN: ("payments_pkey", "shipments_pkey", "returns_pkey", "refunds_pkey"),
    rules.OPEN_PIECES_ONLY: ("order_lines_not_too_many_shipped_check",),
    rules.RETURN_DELIVERED_ONLY: ("order_lines_returned_quantity_check",),
    rules.REFUND_AT_MOST_DUE: ("orders_refunded_total_check",),
}
