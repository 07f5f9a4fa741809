"""The memory of commands: `(principal, request_id)` is its key, and taking it is the first thing a transaction does."""

from __future__ import annotations

from command_service.application.command_call import CommandCall
from command_service.application.errors import Conflict
from command_service.application.ports import EarlierCall, FirstCall
from command_service.storage.transaction import Transaction

# A twin's insert waits on the key until this transaction ends, then finds its row or takes the key itself.
CLAIM = (
    "INSERT INTO command_log (principal, request_id, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    " RETURNING clock_timestamp(), (SELECT epoch FROM source)"
)
RECALL = "SELECT fingerprint, response FROM command_log WHERE principal = $1 AND request_id = $2"
ANSWER = "UPDATE command_log SET response = $3 WHERE principal = $1 AND request_id = $2"


class PostgresCommandLog:
    """The command log within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def claim(self, call: CommandCall) -> FirstCall | EarlierCall:
        """Takes the request id, waiting for a twin to end. The clock is read behind that wait."""
        key = (call.principal, call.request_id)
        claimed = await self._transaction.fetch(CLAIM, (*key, call.fingerprint))
        if claimed is not None:
            now, source_epoch = claimed
            return FirstCall(now, source_epoch)
        earlier = await self._transaction.fetch(RECALL, key)
        if earlier is None:  # it expired between the two statements
            raise Conflict
        fingerprint, response = earlier
        return EarlierCall(fingerprint, response)

    def answer(self, call: CommandCall, response: bytes) -> None:
        """Remembers the response, with the commit."""
        self._transaction.queue(ANSWER, (call.principal, call.request_id, response))
