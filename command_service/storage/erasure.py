"""Holds the SQL that erases personal data: from a customer's orders, their earlier events, and stored responses."""

from __future__ import annotations

from command_service.domain.order import Order
from command_service.storage.connection.message_writer import Statement

#: Returns whether there is such a customer. The update waits for transactions that create orders of theirs.
MARK_CUSTOMER = (
    "WITH marked AS (UPDATE customers SET redacted_at = clock_timestamp() WHERE id = $1 AND redacted_at IS NULL)"
    " SELECT EXISTS (SELECT FROM customers WHERE id = $1)"
)
PROGRESS = (
    "SELECT count(*) FILTER (WHERE redacted), count(*) FILTER (WHERE NOT redacted), ARRAY(SELECT order_id FROM orders"
    " WHERE customer_id = $1 AND NOT redacted ORDER BY order_id LIMIT $2), ARRAY(SELECT order_id FROM orders"
    " WHERE customer_id = $1 AND redacted ORDER BY updated_at DESC LIMIT $2) FROM orders WHERE customer_id = $1"
)
#: The digest of salt and data stays, so the hash chain stays valid. Without the salt nobody can guess the data from it.
ERASE_EVENTS = (
    "UPDATE outbox SET personal = NULL, salt = NULL"
    " WHERE aggregate_id = $1 AND aggregate_version < $2 AND personal IS NOT NULL"
)
#: An import's response shows no order, and stays.
REPLACE_RESPONSES = (
    "UPDATE command_log SET response = $3 FROM outbox"
    " WHERE aggregate_id = $1 AND aggregate_version < $2 AND event_type <> 'ORDER_IMPORTED'"
    " AND principal = headers->>'actor' AND request_id = (headers->>'request_id')::uuid"
)
REPLACE_RESPONSES_WITHOUT_EVENT = "UPDATE command_log SET response = $2 WHERE shows = $1"


def erasure(order: Order, response: bytes) -> list[Statement]:
    """Returns the statements that erase what came before `order`, which is redacted.

    `response` replaces the stored responses to earlier commands on it, so that a retry of one of them gets an answer
    without personal data, and is not executed a second time.
    """
    return [
        (ERASE_EVENTS, (order.order_id, order.version)),
        (REPLACE_RESPONSES, (order.order_id, order.version, response)),
        (REPLACE_RESPONSES_WITHOUT_EVENT, (order.order_id, response)),
    ]
