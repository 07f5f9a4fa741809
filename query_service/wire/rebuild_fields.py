"""Converts the status of a rebuild to plain fields, for JSON, and to the contract's message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.generations import Phase
from query_service.application.rebuilding.leases import LEASE
from query_service.application.rebuilding.rebuilds import RebuildStatus
from query_service.projection.proto_json import moment
from query_service.wire.money_and_time import time_message
from query_service.wire.read_info import duration_message


def rebuild_fields(status: RebuildStatus) -> dict[str, Any]:
    """Returns the status as JSON: times in RFC 3339 or null, rates in orders per second, durations in seconds."""
    rebuild = status.rebuild
    return {
        "rebuild_id": rebuild.rebuild_id,
        "phase": str(status.phase),
        "old": rebuild.old,
        "new": rebuild.new,
        "serving": status.serving,
        "orders": rebuild.orders,
        "filled_orders": rebuild.filled_orders,
        "filled_events": rebuild.filled_events,
        "parked_events": rebuild.parked_events,
        "orders_per_second": round(status.rate, 1),
        "seconds_left": None if status.seconds_left is None else round(status.seconds_left, 1),
        "workers": list(status.workers),
        "problem": status.problem,
        "start_time": _time(rebuild.started_at),
        "fill_time": _time(rebuild.filled_at),
        "verify_time": _time(rebuild.verified_at),
        "switch_time": _time(rebuild.switched_at),
        "end_time": _time(rebuild.ended_at),
    }


def rebuild_message(status: RebuildStatus) -> contract.RebuildProgress:
    """Returns the status as the contract's message."""
    rebuild = status.rebuild
    left = status.seconds_left
    return contract.RebuildProgress(
        phase=contract.RebuildPhase.Value(f"REBUILD_PHASE_{status.phase}"),
        old_generation=rebuild.old,
        new_generation=rebuild.new,
        orders=rebuild.orders,
        filled_orders=rebuild.filled_orders,
        orders_per_second=round(status.rate),
        time_left=None if left is None else duration_message(round(left * 1e6)),
        problem=status.problem,
        start_time=time_message(rebuild.started_at),
    )


def progress_line(status: RebuildStatus) -> str:
    """Returns one line for a terminal: how many orders are filled, how fast, and how long the rest takes."""
    rebuild = status.rebuild
    if status.phase is not Phase.FILLING:
        parked = f", {rebuild.parked_events:,} events parked" if rebuild.parked_events else ""
        filled = f"{rebuild.filled_orders:,} orders filled{parked}"
        return f"{rebuild.new}: {filled}, {status.rate:,.0f} orders/s; {status.phase}"
    left = "" if status.seconds_left is None else f", {status.seconds_left:,.0f} s left"
    paused = f"; paused: {status.problem}" if status.problem else ""
    done = f"{rebuild.filled_orders:,} of {rebuild.orders:,} orders"
    return f"{rebuild.new}: {done}, {status.rate:,.0f} orders/s{left}{paused}"


def waiting_line(workers: Sequence[str]) -> str:
    """Returns one line for a terminal: for whose leases a start waits."""
    return f"waiting up to {LEASE / 1e6:.0f} s until the leases of {', '.join(workers)} end, or are renewed"


def _time(microseconds: int) -> str | None:
    return moment(microseconds).astimezone(UTC).isoformat().replace("+00:00", "Z") if microseconds else None
