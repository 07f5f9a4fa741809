"""The orders' state within one transaction."""

from __future__ import annotations

from command_service.application.event_record import EventRecord
from command_service.domain.decisions.place_order import order_id_taken, order_number_taken
from command_service.domain.errors import RuleViolated
from command_service.domain.order import Order
from command_service.storage.order_rows import line_rows, order_row
from command_service.storage.statements import insert_row, insert_rows
from command_service.storage.tables import customers, order_lines, orders
from command_service.storage.transaction import Transaction

# There is no customer service: the first order of a customer makes the row that a redaction will mark.
ADD_CUSTOMER = f"INSERT INTO {customers.name} (id) VALUES ($1) ON CONFLICT DO NOTHING"  # noqa: S608
ADD_ORDER = insert_row(orders)
ADD_LINES = insert_rows(order_lines)


class PostgresOrders:
    """Writes orders; remembers the new one, to say what its insert ran into."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._added: Order | None = None

    def add(self, order: Order, head: EventRecord) -> None:
        """Customer, order and lines of a new order, with the commit."""
        self._added = order
        self._transaction.queue(ADD_CUSTOMER, (order.customer.customer_id,))
        self._transaction.queue(ADD_ORDER.sql, ADD_ORDER.row(order_row(order, head)))
        self._transaction.queue(ADD_LINES.sql, ADD_LINES.rows(line_rows(order)))

    def refusal(self, constraint: str | None) -> RuleViolated | None:
        """The rule that a violated unique constraint stands for, if it stands for one."""
        if self._added is None:
            return None
        if constraint == f"{orders.name}_pkey":
            return order_id_taken(self._added.order_id)
        if constraint == f"{orders.name}_source_order_number_key":
            return order_number_taken(self._added.order_number, self._added.source)
        return None
