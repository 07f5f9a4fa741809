"""gRPC requests → use cases → responses; nothing else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping

from tandem.orders.consistency_token import decode
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.await_versions import Answer, Consistency
from query_service.application.errors import DependencyDown
from query_service.application.freshness import AnswerInfo
from query_service.application.get_order import GetOrder
from query_service.handlers.request_rules import validate
from query_service.handlers.service_methods import Question
from query_service.projection.order_document import OrderDocument
from query_service.wire.order_message import order_message
from query_service.wire.read_info import microseconds_of, read_info

SERVICE = contract.DESCRIPTOR.services_by_name["OrderQueryService"]
DEFAULT_MAX_WAIT_SECONDS = 2.0


class OrderQueries:
    """The served methods. `now` gives microseconds since 1970; `dependency` names the read store to callers."""

    def __init__(self, get_order: GetOrder, *, dependency: str, now: Callable[[], int]) -> None:
        self._get_order, self._dependency, self._now = get_order, dependency, now

    def questions(self) -> Mapping[str, Question]:
        """Method of the contract → what answers it."""
        return {"GetOrder": self.get_order}

    async def get_order(self, request: contract.GetOrderRequest, remaining: float | None) -> contract.GetOrderResponse:
        """One order: now, at a version, or as it was at a time."""
        validate(request)
        order_id = str(uuid.UUID(request.order_id))
        wanted = consistency(request.read_options, remaining)
        try:
            async with asyncio.timeout(remaining):
                answer = await self._asked(request, order_id, wanted)
        except TimeoutError:
            # The wait for versions ends before the deadline by itself; only the store can have taken this long.
            raise DependencyDown(self._dependency, "no answer within the caller's deadline") from None
        return contract.GetOrderResponse(order=order_message(answer.found), read_info=self._info(answer.info))

    async def _asked(
        self, request: contract.GetOrderRequest, order_id: str, wanted: Consistency
    ) -> Answer[OrderDocument]:
        match request.WhichOneof("at"):
            case "version":
                return await self._get_order.at_version(order_id, request.version, wanted)
            case "read_time":
                return await self._get_order.at_time(order_id, microseconds_of(request.read_time), wanted)
            case _:
                return await self._get_order.now(order_id, wanted)

    def _info(self, info: AnswerInfo) -> contract.ReadInfo:
        return read_info(info, self._now())


#: The part of the remaining time that a wait may take; the rest is for looking a last time.
_SHARE_OF_DEADLINE = 0.8


def consistency(options: contract.ReadOptions, remaining: float | None) -> Consistency:
    """What the caller wants, in the time that remains; raises MalformedToken."""
    max_wait = DEFAULT_MAX_WAIT_SECONDS
    if options.HasField("max_wait"):
        max_wait = options.max_wait.seconds + options.max_wait.nanos / 1e9
    if remaining is not None:
        max_wait = min(max_wait, remaining * _SHARE_OF_DEADLINE)
    stale_allowed = options.on_timeout == contract.ON_TIMEOUT_RETURN_STALE
    if not options.consistency_token:
        return Consistency(max_wait=max_wait, stale_allowed=stale_allowed)
    token = decode(options.consistency_token)
    return Consistency(token.source_epoch, token.versions, max_wait, stale_allowed)
