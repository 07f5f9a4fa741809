"""Stores commands under `(principal, request_id)`. Claiming that key is a transaction's first statement."""

from __future__ import annotations

from command_service.application.command_call import CommandCall
from command_service.application.errors import Conflict
from command_service.application.ports import EarlierCall, FirstCall, NewOrder
from command_service.domain.errors import order_id_taken, order_number_taken
from command_service.storage.transaction import Transaction

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


class PostgresCommandLog:
    """The command log within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def claim(self, call: CommandCall, new_order: NewOrder | None = None) -> FirstCall | EarlierCall:
        """Claims the request id; waits for a twin to end. The clock is read after that wait."""
        key = (call.principal, call.request_id)
        if new_order is None:
            claimed = await self._transaction.fetch(CLAIM, (*key, call.fingerprint))
        else:
            identity = (new_order.order_id, new_order.source, new_order.order_number)
            claimed = await self._transaction.fetch(CLAIM_FOR_NEW, (*key, call.fingerprint, *identity))
        if claimed is not None:
            now, source_epoch, *taken = claimed
            if new_order is not None:
                _refuse_taken(new_order, *taken)
            return FirstCall(now, source_epoch)
        earlier = await self._transaction.fetch(RECALL, key)
        if earlier is None:  # it expired between the two statements
            raise Conflict
        fingerprint, response = earlier
        return EarlierCall(fingerprint, response)

    def answer(self, call: CommandCall, response: bytes) -> None:
        """Stores the response with the commit."""
        self._transaction.queue(ANSWER, (call.principal, call.request_id, response))


def _refuse_taken(order: NewOrder, id_taken: bool, number_taken: bool) -> None:
    if id_taken:
        raise order_id_taken(order.order_id)
    if number_taken:
        raise order_number_taken(order.order_number, order.source)
