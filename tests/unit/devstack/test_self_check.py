"""The self-check gives the first order of all more time than one call waits."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from tandem.orders.client import Session
from tandem.orders.errors import error_status
from tandem.orders.v1.error_reason_pb2 import ErrorReason
from tandem.orders.v1.order_query_service_pb2 import GetOrderResponse

from devstack.stack import self_check

ORDER = "6d0cbd4a-9d0f-4e0b-8d5e-2b1f6f5f9f11"


class Reader:
    """A query service that is behind for so many calls."""

    def __init__(self, behind: int, reason: ErrorReason.ValueType = ErrorReason.ERROR_REASON_READ_MODEL_BEHIND) -> None:
        self.behind, self._reason = behind, reason

    async def GetOrder(self, _: object, *, timeout: float) -> GetOrderResponse:  # noqa: N802 - as the stub calls it
        if self.behind:
            self.behind -= 1
            status = rpc_status.to_status(error_status(grpc.StatusCode.UNAVAILABLE, self._reason, "not yet"))
            trailing = grpc.aio.Metadata(*status.trailing_metadata)
            raise grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)
        answer = GetOrderResponse()
        answer.order.order_id, answer.order.customer.customer_id = ORDER, self_check.CUSTOMER
        return answer


async def readable(reader: Any) -> float:
    return await self_check._readable(reader, Session(), ORDER, time.perf_counter())


async def test_a_read_side_that_is_behind_is_asked_again() -> None:
    reader = Reader(behind=3)
    assert await readable(reader) >= 0
    assert reader.behind == 0


async def test_one_that_stays_behind_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "STAGE_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(grpc.aio.AioRpcError):
        await readable(Reader(behind=10**9))


async def test_any_other_refusal_fails_it_at_once() -> None:
    reader = Reader(behind=1, reason=ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE)
    with pytest.raises(grpc.aio.AioRpcError):
        await readable(reader)
