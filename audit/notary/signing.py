"""Signs checkpoints, each only after a proof that the log still begins with the one before."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from audit.notary.log_writer import LogWriter
from audit.notes.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit.notes.keys import SigningKey
from audit.notes.signed_note import UnfitNote
from audit.storage import checkpoints
from audit.storage.tree_nodes import MissingNode, TreeNodes
from audit.tree.proofs import consistent


class LogBroken(Exception):  # noqa: N818 - says what happened
    """The tables do not continue what was signed. The message says how; nothing is signed or appended then."""


class CheckpointSigner:
    """Signs the checkpoints of one log, at most one in `every_seconds`. `clock` returns seconds."""

    def __init__(self, key: SigningKey, *, every_seconds: float, clock: Callable[[], float]) -> None:
        self._key, self._every_seconds, self._clock = key, every_seconds, clock
        self._signed_at: float | None = None

    async def sign_if_due(self, connection: psycopg.AsyncConnection, log: LogWriter) -> int | None:
        """Signs a checkpoint if the log has grown and the last one is old enough. Returns the size that was signed.

        Raises LogBroken when the log does not continue the last checkpoint.
        """
        now = self._clock()
        if self._signed_at is not None and now - self._signed_at < self._every_seconds:
            return None
        last = await self.last(connection)
        if log.size == last.size:
            return None
        await require_continuation(connection, last, log)
        note = sign_checkpoint(Checkpoint(self._key.name, log.size, log.root), self._key)
        async with connection.transaction():
            await checkpoints.write(connection, log.size, note.text)
        self._signed_at = now
        return log.size

    async def last(self, connection: psycopg.AsyncConnection) -> Checkpoint:
        """Returns the last checkpoint; an empty one before the first. Raises LogBroken for one that we did not sign."""
        stored = await checkpoints.newest(connection)
        if stored is None:
            return Checkpoint(self._key.name, 0, b"")
        try:
            checkpoint, _ = open_checkpoint(stored.note, self._key.verification)
        except UnfitNote as unfit:
            raise LogBroken(f"the stored checkpoint of {stored.size} leaves {unfit}") from None
        if checkpoint.size != stored.size:
            raise LogBroken(f"the checkpoint that is stored for {stored.size} leaves is of {checkpoint.size} leaves")
        return checkpoint


async def require_continuation(connection: psycopg.AsyncConnection, last: Checkpoint, log: LogWriter) -> None:
    """Raises LogBroken unless the tables prove that the log begins with the tree of the checkpoint `last`."""
    if not last.size:
        return
    if log.size < last.size:
        raise LogBroken(
            f"the log has {log.size} leaves, and a checkpoint of {last.size} was signed: leaves were removed"
        )
    try:
        proof = await TreeNodes(connection).consistency(last.size, log.size)
    except MissingNode as missing:
        raise LogBroken(str(missing)) from None
    if not consistent(last.root, last.size, log.root, log.size, proof):
        raise LogBroken(f"the first {last.size} leaves are not those that were signed: leaves were changed")
