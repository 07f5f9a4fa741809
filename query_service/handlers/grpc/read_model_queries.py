"""Serves the status of the read model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.checked_store import DriftRecord
from query_service.application.questions.read_model_status import GetReadModelStatus
from query_service.application.rebuilding.rebuilds import RebuildStatus
from query_service.wire.money_and_time import time_message
from query_service.wire.read_info import duration_message
from query_service.wire.rebuild_fields import rebuild_message
from service_runtime.edge.service_methods import Behaviour, Call

_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class ReadModelQueries:
    """Serves GetReadModelStatus. `rebuild` returns the last rebuild, if any; `now` microseconds since 1970."""

    status: GetReadModelStatus
    rebuild: Callable[[], Awaitable[RebuildStatus | None]]
    now: Callable[[], int]

    def questions(self) -> Mapping[str, Behaviour]:
        """Returns the behaviour of the method, by its name in the contract."""
        return {"GetReadModelStatus": self.get_read_model_status}

    async def get_read_model_status(
        self, request: contract.GetReadModelStatusRequest, call: Call
    ) -> contract.GetReadModelStatusResponse:
        """Returns how far the read model lags, and what is parked."""
        status, rebuild = await self.status(), await self.rebuild()
        response = contract.GetReadModelStatusResponse(
            read_store=status.read_store,
            pending_events=_UNKNOWN if status.pending_events is None else status.pending_events,
            parked_orders=status.parked_orders,
            stages=[
                contract.StageLag(
                    stage=lag.stage,
                    p50=duration_message(round(lag.p50 * 1e6)),
                    p99=duration_message(round(lag.p99 * 1e6)),
                    as_of=time_message(lag.as_of),
                )
                for lag in status.stages
            ],
            rebuild=None if rebuild is None else rebuild_message(rebuild),
        )
        _set_drift(response, status.drift)
        if status.freshness is not None:
            response.generation = status.freshness.generation
            response.source_epoch = status.freshness.source_epoch
            as_of = time_message(status.freshness.as_of)
            assert as_of is not None
            response.as_of.CopyFrom(as_of)
            response.staleness.CopyFrom(duration_message(max(0, self.now() - status.freshness.as_of)))
        return response


def _set_drift(response: contract.GetReadModelStatusResponse, record: DriftRecord) -> None:
    response.drift_problem = record.problem
    if not record.compared_at:
        return
    compared_at = time_message(record.compared_at)
    assert compared_at is not None
    response.drift_check_time.CopyFrom(compared_at)
    response.drift_check_duration.CopyFrom(duration_message(round(record.seconds * 1e6)))
    response.drift_checked_orders = record.orders
    response.drift.extend(
        contract.DriftCount(kind=kind, found=found, repaired=record.repaired.get(kind, 0))
        for kind, found in record.found.items()
    )
