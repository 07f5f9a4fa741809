"""Runs several coroutines as one: when one fails, all end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from service_runtime.process import cancel


async def work_together(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs all coroutines until cancelled, or until the first one fails.

    Then it cancels the others and raises the first one's error.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
    finally:
        with contextlib.suppress(Exception):  # the first error is raised below
            await cancel(*tasks)
    if failed is not None:
        failed.result()
