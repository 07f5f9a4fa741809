"""Actions of a rebuild, whose exports come from a write side in the test's process."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from query_service import rebuild_commands
from query_service.rebuild_commands import RebuildReport, run_rebuild
from tests.support.queries.read_side import ReadSide
from tests.support.queries.write_side import WriteSide


@pytest.fixture
def write_side(read_side: ReadSide, monkeypatch: pytest.MonkeyPatch) -> WriteSide:
    """Returns a write side whose exports the rebuild's commands read, each as a process of its own."""
    written, numbers = WriteSide(read_side), itertools.count(1)

    @contextlib.asynccontextmanager
    async def order_source(settings: Any) -> AsyncIterator[WriteSide]:
        yield written

    monkeypatch.setattr(rebuild_commands, "order_source", order_source)
    monkeypatch.setattr(rebuild_commands, "process_name", lambda: f"process-{next(numbers)}")
    return written


async def done(side: ReadSide, action: str, **how: Any) -> RebuildReport:
    """Runs an action that must succeed."""
    report = await run_rebuild(side.settings(), action, **how)
    assert (report.exit_code, report.error) == (0, "")
    return report


async def has_workers(side: ReadSide) -> bool:
    """Whether a filling has begun, and workers hold leases."""
    status = (await run_rebuild(side.settings(), "status")).rebuild
    return status is not None and bool(status["workers"])
