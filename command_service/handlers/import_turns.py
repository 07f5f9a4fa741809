"""Orders the imports of one stream: several run at once, but never two with the same identity.

A stream may name a request, an order or an order number twice. The one sent first must win, and the answer to the other
must not depend on which transaction was faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest

T = TypeVar("T")
_Identity = tuple[str, ...]


class ImportTurns:
    """The orders of one stream that are being imported, by their identities."""

    def __init__(self) -> None:
        self._latest: dict[_Identity, asyncio.Task[Any]] = {}

    def start(self, request: ImportOrdersRequest, importing: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Calls `importing` once no earlier order with an identity of `request` is in progress."""
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
    """Returns the identities of a request. Ids ignore case; a field that is not given identifies nothing."""
    identities: list[_Identity] = [("request", request.request_id.lower())]
    if request.order_id:
        identities.append(("order", request.order_id.lower()))
    if request.order_number:
        identities.append(("number", request.source, request.order_number))
    return identities


async def _after(before: set[asyncio.Task[Any]], importing: Callable[[], Coroutine[Any, Any, T]]) -> T:
    await asyncio.wait(before)
    return await importing()
