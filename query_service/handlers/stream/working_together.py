"""Tasks of which none makes sense without the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from service_runtime.process import cancel


async def work_together(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs all at once until cancelled, or until the first one fails: that ends the others, and its error is raised as
    it is."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
    finally:
        with contextlib.suppress(Exception):  # the first one counts
            await cancel(*tasks)
    if failed is not None:
        failed.result()
