"""The tables hold the rules a second time: each CHECK refuses the change that would break its rule."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import CheckConstraint

from command_service.storage.tables import metadata
from tests.fixtures.write_model import execute, table_digests
from tests.support.commands.command_application import application, call, place_order

#: CHECK → changes that it refuses, each made to an order that PlaceOrder made.
BROKEN: dict[str, tuple[str, ...]] = {
    "source_epoch_check": ("UPDATE source SET epoch = 0",),
    "orders_version_check": ("UPDATE orders SET version = 0",),
    "orders_partition_check": ("UPDATE orders SET partition = 64", "UPDATE orders SET partition = -1"),
    "orders_state_check": ("UPDATE orders SET state = 'OPEN'",),
    "orders_payment_state_check": ("UPDATE orders SET payment_state = 'OPEN'",),
    "orders_fulfillment_state_check": ("UPDATE orders SET fulfillment_state = 'OPEN'",),
    "orders_currency_code_check": ("UPDATE orders SET currency_code = 'eur'",),
    "orders_freight_check": ("UPDATE orders SET freight = -1, total = net_total + tax_total - 1",),
    "orders_net_total_check": ("UPDATE orders SET net_total = -1, total = tax_total + freight - 1",),
    "orders_tax_total_check": ("UPDATE orders SET tax_total = -1, total = net_total + freight - 1",),
    "orders_total_check": (
        "UPDATE orders SET total = total + 1",
        "UPDATE orders SET total = net_total + tax_total",  # freight is left out of cancelled orders only
        "UPDATE orders SET total = net_total, state = 'CANCELLED'",
    ),
    "orders_total_limit_check": ("UPDATE orders SET net_total = 10^15, total = 10^15 + tax_total + freight",),
    "orders_paid_total_check": ("UPDATE orders SET paid_total = -1, refunded_total = -1, refund_due = 0",),
    "orders_refunded_total_check": ("UPDATE orders SET refunded_total = -1",),
    "orders_refund_due_check": (
        "UPDATE orders SET refund_due = 1",
        "UPDATE orders SET refunded_total = 1",
        "UPDATE orders SET paid_total = 5, refunded_total = 3, refund_due = 3",
        "UPDATE orders SET refund_due = -1",
    ),
    "orders_head_hash_check": ("UPDATE orders SET head_hash = 'short'",),
    "order_lines_line_number_check": ("UPDATE order_lines SET line_number = line_number - 1",),
    "order_lines_unit_price_check": ("UPDATE order_lines SET unit_price = -1, net_amount = -3, tax_amount = -1",),
    "order_lines_quantity_check": (
        "UPDATE order_lines SET quantity = 0, net_amount = 0, tax_amount = 0",
        "UPDATE order_lines SET quantity = 1000001, unit_price = 0, net_amount = 0, tax_amount = 0",
    ),
    "order_lines_discount_basis_points_check": (
        "UPDATE order_lines SET discount_basis_points = 10001, unit_price = 0, net_amount = 0, tax_amount = 0",
        "UPDATE order_lines SET discount_basis_points = -1, unit_price = 0, net_amount = 0, tax_amount = 0",
    ),
    "order_lines_tax_rate_basis_points_check": (
        "UPDATE order_lines SET tax_rate_basis_points = 10001, unit_price = 0, net_amount = 0, tax_amount = 0",
    ),
    "order_lines_net_amount_check": (
        "UPDATE order_lines SET net_amount = net_amount + 1, tax_rate_basis_points = 0, tax_amount = 0",
        "UPDATE order_lines SET net_amount = net_amount - 1, tax_rate_basis_points = 0, tax_amount = 0",
        # 2.5 goes to the even side
        "UPDATE order_lines SET unit_price = 5, quantity = 1, discount_basis_points = 5000, net_amount = 3,"
        " tax_rate_basis_points = 0, tax_amount = 0",
        "UPDATE order_lines SET cancelled_quantity = 1",  # cancelled pieces are not charged
    ),
    "order_lines_tax_amount_check": (
        "UPDATE order_lines SET tax_amount = tax_amount + 1",
        "UPDATE order_lines SET tax_amount = tax_amount - 1",
    ),
    "order_lines_cancelled_quantity_check": (
        "UPDATE order_lines SET cancelled_quantity = -1, unit_price = 0, net_amount = 0, tax_amount = 0",
    ),
    "order_lines_not_too_many_shipped_check": ("UPDATE order_lines SET shipped_quantity = quantity + 1",),
    "order_lines_delivered_quantity_check": (
        "UPDATE order_lines SET delivered_quantity = 1",
        "UPDATE order_lines SET shipped_quantity = -1",
    ),
    "order_lines_returned_quantity_check": (
        "UPDATE order_lines SET shipped_quantity = 1, delivered_quantity = 0, returned_quantity = 1",
    ),
    "payments_amount_check": ("INSERT INTO payments SELECT order_id, 'P', 1, 0, '', '', now() FROM orders",),
    "refunds_amount_check": ("INSERT INTO refunds SELECT order_id, 'F', 1, 0, '', now() FROM orders",),
    "shipment_lines_quantity_check": (
        "INSERT INTO shipments SELECT order_id, 'S', 1, '', '', now() FROM orders;"
        " INSERT INTO shipment_lines SELECT order_id, 'S', 1, 0 FROM orders",
    ),
    "return_lines_quantity_check": (
        "INSERT INTO returns SELECT order_id, 'R', 1, now() FROM orders;"
        " INSERT INTO return_lines SELECT order_id, 'R', 1, 0 FROM orders",
    ),
    "outbox_aggregate_version_check": ("UPDATE outbox SET aggregate_version = 0",),
    "outbox_partition_check": ("UPDATE outbox SET partition = 64",),
    "outbox_hash_check": ("UPDATE outbox SET hash = 'short'", "UPDATE outbox SET personal_digest = 'short'"),
    "outbox_personal_check": ("UPDATE outbox SET personal = NULL", "UPDATE outbox SET salt = NULL"),
}


def test_every_check_is_tried() -> None:
    checks = (constraint for table in metadata.tables.values() for constraint in table.constraints)
    assert {constraint.name for constraint in checks if isinstance(constraint, CheckConstraint)} == set(BROKEN)


async def test_every_check_refuses(command_database: str) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), place_order())
    before = await table_digests(command_database)
    for name, changes in BROKEN.items():
        for change in changes:
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                await execute(command_database, change)
            # A partition of the outbox carries its parent's constraints under the parent's names.
            assert refused.value.diag.constraint_name == name, change
    assert await table_digests(command_database) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET customer_id = 'nobody'",
        "DELETE FROM orders",
        "DELETE FROM customers",
        "INSERT INTO payments SELECT gen_random_uuid(), 'P', 1, 1, '', '', now()",
        "INSERT INTO shipments SELECT order_id, 'S', 1, '', '', now() FROM orders;"
        " INSERT INTO shipment_lines SELECT order_id, 'S', 9, 1 FROM orders",
        "INSERT INTO return_lines SELECT order_id, 'R', 1, 1 FROM orders",
    ],
)
async def test_nothing_points_nowhere(command_database: str, change: str) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), place_order())
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await execute(command_database, change)


async def test_redaction_is_the_only_change_that_the_journal_takes(command_database: str) -> None:
    async with application(command_database) as orders:
        await orders.place(call(), place_order())
    await execute(command_database, "UPDATE outbox SET personal = NULL, salt = NULL")
    assert await execute(command_database, "SELECT personal, salt FROM outbox") == [(None, None)]
