"""Asks the query service for the read model's status: freshness, lag by stage, rebuild, drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.v1.order_query_service_pb2 import (
    GetReadModelStatusRequest,
    GetReadModelStatusResponse,
    RebuildPhase,
)
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

Value = TypeVar("Value")
_PHASE = "REBUILD_PHASE_"


@dataclass(frozen=True)
class StageStatus:
    """Median and 99th percentile of the time that the last minute's events took from the stage before."""

    stage: str
    p50_seconds: float
    p99_seconds: float
    as_of: str


@dataclass(frozen=True)
class RebuildState:
    """The last rebuild. `phase` is as in `tandem rebuild status`; `seconds_left` is None when that cannot be told."""

    phase: str
    old: str
    new: str
    orders: int
    filled_orders: int
    orders_per_second: int
    seconds_left: float | None
    problem: str
    start_time: str

    @property
    def ended(self) -> bool:
        """Whether there is one generation again."""
        return self.phase in ("FINISHED", "CANCELLED")


@dataclass(frozen=True)
class DriftFound:
    """How often the last check found a kind of drift, and how many of these it repaired."""

    kind: str
    found: int
    repaired: int


@dataclass(frozen=True)
class DriftState:
    """The last complete check for drift, which compared what the write side had at `check_time`; None before the first.

    `problem` says why the latest check could not be completed, or did not repair everything; "" otherwise.
    """

    check_time: str | None
    seconds: float
    orders: int
    kinds: tuple[DriftFound, ...]
    problem: str


@dataclass(frozen=True)
class ReadModelStatus:
    """The read model's status, as the query service reports it.

    `staleness_seconds` is None before the first barrier, `pending_events` is None when the stream does not answer,
    `rebuild` is None when there was none.
    """

    generation: str
    as_of: str
    staleness_seconds: float | None
    pending_events: int | None
    parked_orders: int
    stages: tuple[StageStatus, ...]
    rebuild: RebuildState | None
    drift: DriftState


async def read_model_status(address: str, timeout_seconds: float) -> ReadModelStatus | None:
    """Calls GetReadModelStatus at `address`; returns None when there is no answer."""
    async with grpc.aio.insecure_channel(address) as channel:
        queries: OrderQueryServiceAsyncStub = OrderQueryServiceStub(channel)
        try:
            return status_in(await queries.GetReadModelStatus(GetReadModelStatusRequest(), timeout=timeout_seconds))
        except grpc.aio.AioRpcError:
            return None


def status_in(answer: GetReadModelStatusResponse) -> ReadModelStatus:
    """Returns the status in an answer."""
    return ReadModelStatus(
        generation=answer.generation,
        as_of=_if_set(answer, "as_of", Timestamp.ToJsonString) or "",
        staleness_seconds=_seconds(answer.staleness) if answer.HasField("as_of") else None,
        pending_events=answer.pending_events if answer.pending_events >= 0 else None,
        parked_orders=answer.parked_orders,
        stages=tuple(
            StageStatus(lag.stage, _seconds(lag.p50), _seconds(lag.p99), lag.as_of.ToJsonString())
            for lag in answer.stages
        ),
        rebuild=_rebuild(answer) if answer.HasField("rebuild") else None,
        drift=DriftState(
            check_time=_if_set(answer, "drift_check_time", Timestamp.ToJsonString),
            seconds=_seconds(answer.drift_check_duration),
            orders=answer.drift_checked_orders,
            kinds=tuple(DriftFound(one.kind, one.found, one.repaired) for one in answer.drift),
            problem=answer.drift_problem,
        ),
    )


def _rebuild(answer: GetReadModelStatusResponse) -> RebuildState:
    rebuild = answer.rebuild
    return RebuildState(
        phase=RebuildPhase.Name(rebuild.phase).removeprefix(_PHASE),
        old=rebuild.old_generation,
        new=rebuild.new_generation,
        orders=rebuild.orders,
        filled_orders=rebuild.filled_orders,
        orders_per_second=rebuild.orders_per_second,
        seconds_left=_if_set(rebuild, "time_left", _seconds),
        problem=rebuild.problem,
        start_time=rebuild.start_time.ToJsonString(),
    )


def _if_set(message: Message, name: str, convert: Callable[..., Value]) -> Value | None:
    return convert(getattr(message, name)) if message.HasField(name) else None


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
