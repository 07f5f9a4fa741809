"""The screen of `tandem status`."""

from __future__ import annotations

from collections.abc import Iterator

from devstack.cli.tables import Column, Rows
from devstack.cli.terminal import Picture, plain, together
from devstack.stack.read_model_status import DriftState, ReadModelStatus, RebuildState
from devstack.stack.system_status import SystemStatus

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
    if model.rebuild is not None and not model.rebuild.ended:
        yield plain("")
        yield plain(rebuild_line(model.rebuild))
    yield plain("")
    yield plain(drift_line(model.drift))


def rebuild_line(rebuild: RebuildState) -> str:
    """Returns a sentence: the phase, how many orders are filled, how fast, how long the rest takes."""
    left = "" if rebuild.seconds_left is None else f", {rebuild.seconds_left:,.0f} s left"
    problem = f"; problem: {rebuild.problem}" if rebuild.problem else ""
    return (
        f"rebuild of {rebuild.old} into {rebuild.new}: {rebuild.phase.lower().replace('_', ' ')},"
        f" {rebuild.filled_orders:,} of {rebuild.orders:,} orders, {rebuild.orders_per_second:,}/s{left}{problem}"
    )


def drift_line(drift: DriftState) -> str:
    """Returns a sentence: when the read model was compared last, and what was found and repaired."""
    problem = f"; problem: {drift.problem}" if drift.problem else ""
    if drift.check_time is None:
        return f"never checked for drift{problem}"
    kinds = ", ".join(
        f"{one.found} {one.kind.lower().replace('_', ' ')} ({one.repaired} repaired)" for one in drift.kinds
    )
    when = drift.check_time[:19].replace("T", " ")
    return f"drift check as of {when} UTC: {drift.orders:,} orders, {kinds or 'nothing'} found{problem}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"
