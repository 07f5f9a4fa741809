"""Tasks of which none makes sense without the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def work_together(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs all at once until cancelled, or until the first one fails: that ends the others, and its error is raised as
    it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for one in work:
                tasks.create_task(one)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
