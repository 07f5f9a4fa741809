"""Runs a coroutine at once as far as it goes without waiting, and only the rest as a task.

A task begins in a later turn of the event loop, and costs more than most work that hardly ever waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def at_once(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Runs the work and returns None, or a task for the rest if the work has to wait. Raises the work's error.

    The caller must keep the task. The work may not use `asyncio.current_task`, nor what needs it, such as timeouts:
    its first part runs in the caller's task.
    """
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    return asyncio.create_task(_Rest(work, awaited))


class _Rest(Coroutine[Any, Any, None]):
    """A coroutine that goes on where `work` waits for `awaited`."""

    def __init__(self, work: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._work, self._awaited = work, [awaited]

    def send(self, value: Any) -> Any:
        return self._awaited.pop() if self._awaited else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("only a task runs the rest")
