"""Sends the look-ups by id of concurrent callers in one `_mget`.

A look-up sees every write that was acknowledged before it began. So it never joins a request that is in flight; it
waits for the next, together with all that arrive meanwhile. A single look-up is sent at once. The more callers there
are, the more of them share a request, and the less each costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from query_service.storage.physical.connection import ElasticsearchConnection, failure

#: So long a request holds back the next, in seconds: many come together meanwhile, and a slow one stops nobody.
HOLD_SECONDS = 0.01
#: Requests under way, at most.
AT_ONCE = 16
#: Documents in a request; a look-up for more goes alone.
MOST_DOCUMENTS = 400

Wanted = list[dict[str, Any]]
Documents = list[dict[str, Any]]


class LookUps:
    """Shares requests among concurrent callers, over one connection."""

    def __init__(self, connection: ElasticsearchConnection) -> None:
        self._connection = connection
        self._waiting: deque[tuple[Wanted, asyncio.Future[Documents]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        #: The request that holds back the next.
        self._recent: asyncio.Task[None] | None = None

    async def documents(self, wanted: Wanted) -> Documents:
        """Returns the answers in order. A document that could not be read is an error, not an absence."""
        answer: asyncio.Future[Documents] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        self._send_next()
        return complete(await answer)

    def _send_next(self) -> None:
        """Sends a request when somebody waits and nothing holds it back."""
        if not self._waiting or self._recent is not None or len(self._running) >= AT_ONCE:
            return
        task = self._recent = asyncio.create_task(self._ask())
        self._running.add(task)
        timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release, task)
        task.add_done_callback(lambda _: timer.cancel())
        task.add_done_callback(self._running.discard)
        task.add_done_callback(self._release)

    def _release(self, task: asyncio.Task[None]) -> None:
        if self._recent is task:
            self._recent = None
        self._send_next()

    async def _ask(self) -> None:
        """Sends one request for those who wait when it begins."""
        if not (together := self._next()):
            return
        try:
            documents = await multi_get(self._connection, [one for wanted, _ in together for one in wanted])
        except Exception as error:
            for _, answer in together:
                if not answer.done():
                    answer.set_exception(error)
            return
        begin = 0
        for wanted, answer in together:
            end = begin + len(wanted)
            if not answer.done():  # who has left meanwhile wants none
                answer.set_result(documents[begin:end])
            begin = end

    def _next(self) -> list[tuple[Wanted, asyncio.Future[Documents]]]:
        """Returns who shares the next request, in order of arrival, without those who have left."""
        together: list[tuple[Wanted, asyncio.Future[Documents]]] = []
        size = 0
        while self._waiting and (not together or size + len(self._waiting[0][0]) <= MOST_DOCUMENTS):
            wanted, answer = self._waiting.popleft()
            if not answer.done():
                together.append((wanted, answer))
                size += len(wanted)
        return together


async def multi_get(connection: ElasticsearchConnection, wanted: Wanted) -> Documents:
    """Sends one `_mget`; returns the answers in order, also those that say why a document could not be read."""
    _, answer = await connection.request("POST", "/_mget", body={"docs": wanted})
    documents: Documents = answer["docs"]
    return documents


def complete(documents: Documents) -> Documents:
    """Returns the same documents; raises for the first that could not be read."""
    for document in documents:
        if "error" in document:
            raise failure(503, document)
    return documents
