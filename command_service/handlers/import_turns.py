"""Runs the imports of one stream concurrently, but never two with the same identity at the same time.

A stream may contain a request id, an order id or an order number twice. The request that was sent first must win, and
the result of the other must not depend on which transaction is faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

T = TypeVar("T")
_Identity = tuple[str, ...]


class ImportTurns:
    """Starts the imports of one stream.

    Imports that share a request id, order id or order number run one after the other, in the sequence sent.
    """

    def __init__(self) -> None:
        self._latest: dict[_Identity, asyncio.Task[Any]] = {}

    def start(self, request: ImportOrdersRequest, importing: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Returns a task that calls `importing` after all earlier imports that share an identity with `request`."""
        identities = _identities(request)
        before = {self._latest[identity] for identity in identities if identity in self._latest}
        task = asyncio.create_task(_after(before, importing) if before else importing())
        self._latest.update(dict.fromkeys(identities, task))
        task.add_done_callback(lambda _: self._forget(identities, task))
        return task

    def _forget(self, identities: list[_Identity], task: asyncio.Task[Any]) -> None:
        for identity in identities:
            if self._latest.get(identity) is task:
                del self._latest[identity]


def _identities(request: ImportOrdersRequest) -> list[_Identity]:
    """Returns the request's ids in lower case, and its order number with its source. Empty fields are left out."""
    identities: list[_Identity] = [("request", request.request_id.lower())]
    if request.order_id:
        identities.append(("order", request.order_id.lower()))
    if request.order_number:
        identities.append(("number", request.source, request.order_number))
    return identities


async def _after(before: set[asyncio.Task[Any]], importing: Callable[[], Coroutine[Any, Any, T]]) -> T:
    await asyncio.wait(before)
    return await importing()
