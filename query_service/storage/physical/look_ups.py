"""Sends the look-ups by id of concurrent callers in one `_mget`.

A look-up must see every write that was acknowledged before it began. So it never joins a request that was already sent.
It waits for the next request, together with all look-ups that arrive meanwhile. A single look-up is sent at once. With
more callers, more look-ups share a request, and each costs less.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

from query_service.storage.physical.connection import ElasticsearchConnection, failure

#: How many seconds an unanswered request delays the next one, which gathers look-ups meanwhile. After that the next one
#: is sent, so a slow request blocks no look-up for longer.
HOLD_SECONDS = 0.01
#: The most requests that are unanswered at the same time.
AT_ONCE = 16
#: The most documents in a request. A look-up of more documents is sent alone.
MOST_DOCUMENTS = 400

Wanted = list[dict[str, Any]]
Documents = list[dict[str, Any]]


class LookUps:
    """Shares requests among concurrent callers, over one connection."""

    def __init__(self, connection: ElasticsearchConnection) -> None:
        self._connection = connection
        self._waiting: deque[tuple[Wanted, asyncio.Future[Documents]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        #: The request that delays the next one; None when nothing delays it.
        self._recent: asyncio.Task[None] | None = None

    async def documents(self, wanted: Wanted) -> Documents:
        """Returns the answers in order. `wanted` has an item of `_mget` for each document.

        Raises as `ElasticsearchConnection.request`, also for a document of this caller that could not be read.
        """
        answer: asyncio.Future[Documents] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        self._send_next()
        return complete(await answer)

    def _send_next(self) -> None:
        """Sends a request if a look-up waits and no request delays it."""
        if not self._waiting or self._recent is not None or len(self._running) >= AT_ONCE:
            return
        task = self._recent = asyncio.create_task(self._ask())
        self._running.add(task)
        timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release, task)
        task.add_done_callback(partial(self._ended, timer))

    def _ended(self, timer: asyncio.TimerHandle, task: asyncio.Task[None]) -> None:
        timer.cancel()
        self._running.discard(task)
        self._release(task)

    def _release(self, task: asyncio.Task[None]) -> None:
        if self._recent is task:
            self._recent = None
        self._send_next()

    async def _ask(self) -> None:
        """Sends one request for the look-ups that wait now, and gives each caller its part of the answer."""
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
            if not answer.done():  # its caller was cancelled
                answer.set_result(documents[begin:end])
            begin = end

    def _next(self) -> list[tuple[Wanted, asyncio.Future[Documents]]]:
        """Removes and returns the look-ups that share the next request, oldest first, without cancelled ones."""
        together: list[tuple[Wanted, asyncio.Future[Documents]]] = []
        size = 0
        while self._waiting and (not together or size + len(self._waiting[0][0]) <= MOST_DOCUMENTS):
            wanted, answer = self._waiting.popleft()
            if not answer.done():
                together.append((wanted, answer))
                size += len(wanted)
        return together


async def multi_get(connection: ElasticsearchConnection, wanted: Wanted) -> Documents:
    """Sends one `_mget` and returns its answers in order. An answer may be an error."""
    _, answer = await connection.request("POST", "/_mget", body={"docs": wanted})
    documents: Documents = answer["docs"]
    return documents


def complete(documents: Documents) -> Documents:
    """Returns the documents. Raises the error of the first that could not be read."""
    for document in documents:
        if "error" in document:
            raise failure(503, document)
    return documents
