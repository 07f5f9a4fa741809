"""The screen of `tandem status`."""

from __future__ import annotations

from collections.abc import Iterator

from devstack.cli.tables import Column, Rows
from devstack.cli.terminal import Picture, plain, together
from devstack.stack.system_status import ReadModelStatus, SystemStatus

COLOURS = {"up": "green", "degraded": "yellow", "down": "red"}
_PROCESSES = (
    Column("process", named=False),
    Column("address", named=False),
    Column("state", named=False),
    Column("detail", folds=True, named=False),
)
_STAGES = (Column("stage", named=False), Column("p50", right=True), Column("p99", right=True), Column("last at (UTC)"))


def picture(seen: SystemStatus) -> Picture:
    """Draws the processes, the read model's status, and a summary in one line."""
    rows = [
        (process.name, process.address, plain(process.state, COLOURS[process.state]), process.detail)
        for process in seen.processes
    ]
    model = () if seen.read_model is None else _read_model(seen.read_model)
    return together(Rows(_PROCESSES, rows), *model, plain(seen.line()))


def _read_model(model: ReadModelStatus) -> Iterator[Picture]:
    age = "of unknown age" if model.staleness_seconds is None else f"{model.staleness_seconds:.1f} s old"
    pending = "an unknown number of" if model.pending_events is None else str(model.pending_events)
    yield plain("")
    yield plain(f"reads are {age}, {pending} events to apply, {model.parked_orders} orders parked")
    if model.stages:
        rows = [
            (lag.stage, _milliseconds(lag.p50_seconds), _milliseconds(lag.p99_seconds), lag.as_of[11:19])
            for lag in model.stages
        ]
        yield Rows(_STAGES, rows)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"
