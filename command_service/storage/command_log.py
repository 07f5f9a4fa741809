"""Holds the SQL of the command log, which makes a command with the same request id run once.

A transaction first claims its key `(principal, request_id)` by inserting a row. At its end it stores the response in
this row. A later transaction with the same key finds the row and returns the stored response.
"""

from __future__ import annotations

# If another transaction has inserted the key, this insert waits until that one ends. After its commit this inserts
# nothing and returns no row; after its rollback this inserts.
CLAIM = (
    "INSERT INTO command_log (principal, request_id, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    " RETURNING clock_timestamp(), (SELECT epoch FROM source)"
)
#: The same for a command that creates an order. It also returns whether the order's id and number are taken. The insert
#: of the order would find that too, but as an error, which the server logs with all values. The insert still finds
#: the few that another transaction has inserted in between. The last value is whether the customer's data was erased.
#: The lock makes an erasure wait for the order, so that it finds the order too.
CLAIM_FOR_NEW = (
    f"{CLAIM}, EXISTS (SELECT FROM orders WHERE order_id = $4),"  # noqa: S608 - no value is in it
    " EXISTS (SELECT FROM orders WHERE source = $5 AND order_number = $6),"
    " (SELECT redacted_at IS NOT NULL FROM customers WHERE id = $7 FOR SHARE)"
)
RECALL = "SELECT fingerprint, response FROM command_log WHERE principal = $1 AND request_id = $2"
RESPONSES = (
    "SELECT ARRAY(SELECT response FROM command_log WHERE principal = $1 AND request_id = ANY($2)"
    " AND response IS NOT NULL)"
)
#: The same for a command without an event, by which the response could be found. `shows` is the order in the response.
ANSWER_WITHOUT_EVENT = "UPDATE command_log SET response = $3, shows = $4 WHERE principal = $1 AND request_id = $2"
ANSWER = "UPDATE command_log SET response = $3 WHERE principal = $1 AND request_id = $2"
