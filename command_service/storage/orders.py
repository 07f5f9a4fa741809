"""Builds the statements that write an order and its event. The transaction sends them."""

from __future__ import annotations

from collections.abc import Iterator

from command_service.application.event_record import EventRecord
from command_service.domain.order import Order
from command_service.storage.connection.message_writer import Statement
from command_service.storage.movement_rows import new_movements, newly_delivered
from command_service.storage.order_rows import event_row, line_rows, order_row
from command_service.storage.statements import insert_row, insert_rows, update_row, update_rows
from command_service.storage.tables import (
    customers,
    order_lines,
    orders,
    outbox,
    payments,
    refunds,
    return_lines,
    returns,
    shipment_lines,
    shipments,
)

# No other service owns customers. The first order of a customer creates the row that a redaction will mark.
ADD_CUSTOMER = f"INSERT INTO {customers.name} (id) VALUES ($1) ON CONFLICT DO NOTHING"  # noqa: S608
ADD_ORDER = insert_row(orders)
ADD_LINES = insert_rows(order_lines)
ADD_EVENT = insert_row(outbox)
ADD_MOVEMENTS = {
    table: insert_rows(table) for table in (payments, shipments, shipment_lines, returns, return_lines, refunds)
}
#: The columns of an order that commands can change, without address, labels and note. The others stay as inserted.
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
CHANGE_LABELS = update_row(orders, "order_id", ["labels", "note"])
#: The columns of personal data, which a redaction empties.
EMPTY = update_row(
    orders,
    "order_id",
    [
        *("redacted", "labels", "note"),
        *(column.name for column in orders.columns if column.name.startswith(("customer_", "shipping_", "billing_"))),
    ],
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
#: Names of the constraints that keep an order's id unique, and its number unique within its source.
ID_KEY, NUMBER_KEY = f"{orders.name}_pkey", f"{orders.name}_source_order_number_key"
CHANGE_DELIVERY = update_rows(shipments, ["order_id", "shipment_id"], ["delivered_at"])


def new_order(order: Order, event: EventRecord) -> list[Statement]:
    """Returns the statements that insert a new order with its lines, movements and event. Its customer is there."""
    movements = _new_movements(None, order) if order.moved else ()
    return [
        ADD_ORDER.of_row(order_row(order, event)),
        ADD_LINES.of_rows(line_rows(order.order_id, order.lines)),
        *movements,
        ADD_EVENT.of_row(event_row(event)),
    ]


def changed_order(before: Order, after: Order, event: EventRecord) -> list[Statement]:
    """Returns the statements that write the differences between the two orders, and that insert the event."""
    row = order_row(after, event)
    statements = [CHANGE_ORDER.of_row(row)]
    if after.redacted != before.redacted:
        statements.append(EMPTY.of_row(row))
    elif after.shipping_address != before.shipping_address:
        statements.append(CHANGE_ADDRESS.of_row(row))
    elif (after.labels, after.note) != (before.labels, before.note):
        statements.append(CHANGE_LABELS.of_row(row))
    statements += _changed_lines(before, after)
    statements += _new_movements(before, after)
    if delivered := newly_delivered(before, after):
        statements.append(CHANGE_DELIVERY.of_rows(delivered))
    return [*statements, ADD_EVENT.of_row(event_row(event))]


def _changed_lines(before: Order, after: Order) -> Iterator[Statement]:
    if [line.ordered for line in before.lines] != [line.ordered for line in after.lines]:
        yield DROP_LINES, (after.order_id,)
        yield ADD_LINES.of_rows(line_rows(after.order_id, after.lines))
        return
    changed = [new for old, new in zip(before.lines, after.lines, strict=True) if old != new]
    if changed:
        yield CHANGE_LINES.of_rows(line_rows(after.order_id, changed))


def _new_movements(before: Order | None, after: Order) -> Iterator[Statement]:
    for table, rows in new_movements(before, after):
        if rows:
            yield ADD_MOVEMENTS[table].of_rows(rows)
