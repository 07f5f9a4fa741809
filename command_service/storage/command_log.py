"""Holds the statements of the command log. A transaction first claims its key, `(principal, request_id)`."""

from __future__ import annotations

# A twin's insert waits on the key until this transaction ends, then finds its row or takes the key itself.
CLAIM = (
    "INSERT INTO command_log (principal, request_id, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    " RETURNING clock_timestamp(), (SELECT epoch FROM source)"
)
#: The same for a command that makes an order. That an id or number is taken is an answer here; at the order's insert it
#: is an error, which the server writes down with all values. The insert finds the few that are taken in between.
CLAIM_FOR_NEW = (
    f"{CLAIM}, EXISTS (SELECT FROM orders WHERE order_id = $4),"  # noqa: S608 - no value is in it
    " EXISTS (SELECT FROM orders WHERE source = $5 AND order_number = $6)"
)
RECALL = "SELECT fingerprint, response FROM command_log WHERE principal = $1 AND request_id = $2"
ANSWER = "UPDATE command_log SET response = $3 WHERE principal = $1 AND request_id = $2"
