"""Reads and writes orders within one transaction."""

from __future__ import annotations

from uuid import UUID

from command_service.application.event_record import EventRecord
from command_service.application.ports import StoredOrder
from command_service.domain.errors import RuleViolated, order_id_taken, order_number_taken
from command_service.domain.order import Order
from command_service.storage.movement_rows import new_movements, newly_delivered
from command_service.storage.order_rows import line_rows, order_row
from command_service.storage.statements import insert_row, insert_rows, update_row, update_rows
from command_service.storage.stored_orders import LOAD, LOCK, stored_order
from command_service.storage.tables import (
    customers,
    order_lines,
    orders,
    payments,
    refunds,
    return_lines,
    returns,
    shipment_lines,
    shipments,
)
from command_service.storage.transaction import Transaction

# There is no customer service: the first order of a customer makes the row that a redaction will mark.
ADD_CUSTOMER = f"INSERT INTO {customers.name} (id) VALUES ($1) ON CONFLICT DO NOTHING"  # noqa: S608
ADD_ORDER = insert_row(orders)
ADD_LINES = insert_rows(order_lines)
ADD_MOVEMENTS = {
    table: insert_rows(table) for table in (payments, shipments, shipment_lines, returns, return_lines, refunds)
}
#: What commands can change; the rest of an order stays as it was made.
CHANGE_ORDER = update_row(
    orders,
    "order_id",
    [
        *("version", "state", "payment_state", "fulfillment_state", "on_hold", "freight", "net_total", "tax_total"),
        *("total", "paid_total", "refunded_total", "refund_due", "updated_at"),
        *("head_event_id", "head_hash", "recorded_at"),
    ],
)
CHANGE_ADDRESS = update_row(
    orders, "order_id", [column.name for column in orders.columns if column.name.startswith("shipping_")]
)
CHANGE_LINES = update_rows(
    order_lines,
    ["order_id", "line_number"],
    [
        *("net_amount", "tax_amount", "cancelled_quantity", "shipped_quantity"),
        *("delivered_quantity", "returned_quantity"),
    ],
)
DROP_LINES = f"DELETE FROM {order_lines.name} WHERE order_id = $1"  # noqa: S608
CHANGE_DELIVERY = update_rows(shipments, ["order_id", "shipment_id"], ["delivered_at"])


class PostgresOrders:
    """Reads and writes orders. It remembers the new order, to explain a constraint that its insert violates."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._added: Order | None = None

    def add(self, order: Order, head: EventRecord) -> None:
        """Adds customer, order and lines of a new order, with the commit."""
        self._added = order
        self._transaction.queue(ADD_CUSTOMER, (order.customer.customer_id,))
        self._transaction.queue(ADD_ORDER.sql, ADD_ORDER.row(order_row(order, head)))
        self._transaction.queue(ADD_LINES.sql, ADD_LINES.rows(line_rows(order.order_id, order.lines)))
        self._add_movements(None, order)

    async def lock(self, order_id: UUID) -> StoredOrder | None:
        """Waits for the lock on the order's row, then reads the order as earlier transactions left it."""
        self._transaction.queue(LOCK, (order_id,))
        row = await self._transaction.fetch(LOAD, (order_id,))
        return None if row is None else stored_order(row)

    def update(self, before: Order, after: Order, head: EventRecord) -> None:
        """Stores the differences between the two orders, with the commit."""
        row = order_row(after, head)
        self._transaction.queue(CHANGE_ORDER.sql, CHANGE_ORDER.row(row))
        if after.shipping_address != before.shipping_address:
            self._transaction.queue(CHANGE_ADDRESS.sql, CHANGE_ADDRESS.row(row))
        self._change_lines(before, after)
        self._add_movements(before, after)
        if delivered := newly_delivered(before, after):
            self._transaction.queue(CHANGE_DELIVERY.sql, CHANGE_DELIVERY.rows(delivered))

    def _change_lines(self, before: Order, after: Order) -> None:
        if [line.ordered for line in before.lines] != [line.ordered for line in after.lines]:
            self._transaction.queue(DROP_LINES, (after.order_id,))
            self._transaction.queue(ADD_LINES.sql, ADD_LINES.rows(line_rows(after.order_id, after.lines)))
            return
        changed = [new for old, new in zip(before.lines, after.lines, strict=True) if old != new]
        if changed:
            self._transaction.queue(CHANGE_LINES.sql, CHANGE_LINES.rows(line_rows(after.order_id, changed)))

    def _add_movements(self, before: Order | None, after: Order) -> None:
        for table, rows in new_movements(before, after):
            if rows:
                self._transaction.queue(ADD_MOVEMENTS[table].sql, ADD_MOVEMENTS[table].rows(rows))

    def refusal(self, constraint: str | None) -> RuleViolated | None:
        """Returns the refusal for a violated unique constraint, if a rule stands for it."""
        if self._added is None:
            return None
        if constraint == f"{orders.name}_pkey":
            return order_id_taken(self._added.order_id)
        if constraint == f"{orders.name}_source_order_number_key":
            return order_number_taken(self._added.order_number, self._added.source)
        return None
