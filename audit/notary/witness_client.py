"""Gives checkpoints to a witness over HTTP, as C2SP's tlog-witness describes it, and then the new leaves' hashes.

Any witness that speaks that protocol will do. The leaves are an addition of ours, with which a witness can later name
the first leaf that differs; a witness that does not know the request (404) does not get them.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import aiohttp
import psycopg

from audit.notes.cosignature import require_cosignature
from audit.notes.keys import VerificationKey
from audit.notes.signed_note import SignedNote, UnfitNote, parse_note, parse_signatures
from audit.storage import checkpoints
from audit.storage.checkpoints import StoredCheckpoint
from audit.storage.leaf_rows import between
from audit.storage.tree_nodes import TreeNodes

#: How long the witness may take for one answer.
ANSWER_SECONDS = 10.0
#: Leaves in one request, 32 bytes each.
MOST_LEAVES = 16_384


class WitnessRefuses(Exception):  # noqa: N818 - says what happened
    """The witness does not sign. The message is its reason."""


class Answer(NamedTuple):
    """A response of the witness."""

    status: int
    text: str


class WitnessClient:
    """Brings the log's checkpoints to the witness at `url`. `witness_key` None: its signatures are not verified."""

    def __init__(self, url: str, witness_key: VerificationKey | None) -> None:
        self._url, self._witness_key = url.rstrip("/"), witness_key
        self._size = 0
        self._leaves = 0
        self._takes_leaves = True

    async def bring(self, connection: psycopg.AsyncConnection, session: aiohttp.ClientSession) -> int | None:
        """Brings the newest checkpoint, unless it is cosigned. Returns the size that was cosigned.

        Raises WitnessRefuses, aiohttp.ClientError or TimeoutError, psycopg.Error, MissingNode.
        """
        newest = await checkpoints.newest(connection)
        if newest is None or newest.cosigned is not None:
            return None
        answer = await self._submit(connection, session, newest)
        if answer.status == 409:
            self._size = _number(answer)
            if self._size > newest.size:
                raise WitnessRefuses(
                    f"the witness has signed {self._size} leaves, and this log has {newest.size}: leaves were removed"
                )
            answer = await self._submit(connection, session, newest)
        if answer.status != 200:
            raise WitnessRefuses(f"the witness answers {answer.status}: {answer.text.strip()[:300]}")
        note = self._cosigned(newest, answer)
        async with connection.transaction():
            await checkpoints.write_cosigned(connection, newest.size, note.text)
        self._size = newest.size
        await self._bring_leaves(connection, session, newest.size)
        return newest.size

    async def _submit(
        self, connection: psycopg.AsyncConnection, session: aiohttp.ClientSession, newest: StoredCheckpoint
    ) -> Answer:
        old = min(self._size, newest.size)
        proof = await TreeNodes(connection).consistency(old, newest.size)
        lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
        return await self._post(session, "add-checkpoint", f"old {old}\n{lines}\n{newest.note}".encode())

    def _cosigned(self, newest: StoredCheckpoint, answer: Answer) -> SignedNote:
        try:
            note = parse_note(newest.note).with_signatures(*parse_signatures(answer.text))
            if self._witness_key is not None:
                require_cosignature(note, self._witness_key)
        except UnfitNote as unfit:
            raise WitnessRefuses(f"the witness's answer {unfit}") from None
        return note

    async def _bring_leaves(
        self, connection: psycopg.AsyncConnection, session: aiohttp.ClientSession, size: int
    ) -> None:
        while self._takes_leaves and self._leaves < size:
            rows = await between(connection, self._leaves, min(size, self._leaves + MOST_LEAVES))
            if not rows:
                return
            answer = await self._post(session, f"add-leaves?first={self._leaves}", b"".join(row.hash for row in rows))
            match answer.status:
                case 200 | 409:
                    self._leaves = _number(answer)
                case 404 | 405:
                    self._takes_leaves = False
                case _:
                    raise WitnessRefuses(f"the witness does not take leaves: {answer.text.strip()[:300]}")

    async def _post(self, session: aiohttp.ClientSession, path: str, body: bytes) -> Answer:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with session.post(f"{self._url}/{path}", data=body, timeout=timeout) as response:
            if response.status >= 500:  # a fault of the witness or of what is before it, which says nothing of the log
                response.raise_for_status()
            return Answer(response.status, (await response.content.read(1 << 20)).decode(errors="replace"))


def _number(answer: Answer) -> int:
    text = answer.text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise WitnessRefuses(f"the witness answers {answer.status} without a number")
    return int(text)
