"""Serves queries by id: converts requests for the use cases, and their answers to responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.freshness.await_versions import Answer, Consistency
from query_service.application.questions.batch_get_orders import BatchGetOrders
from query_service.application.questions.get_order import GetOrder
from query_service.application.questions.order_history import GetOrderHistory
from query_service.application.questions.verify_order_history import VerifyOrderHistory
from query_service.handlers.grpc.answering import consistency, page_size, that_fit
from query_service.wire.joined_messages import EncodedField
from query_service.wire.order_history import history_message, verified_message
from query_service.wire.read_info import microseconds_of, put_read_info, read_info
from service_runtime.edge.request_validation import InvalidRequest, Violation
from service_runtime.edge.service_methods import Behaviour, Call

_ORDER = EncodedField(contract.GetOrderResponse.DESCRIPTOR, "order")
_ORDERS = EncodedField(contract.BatchGetOrdersResponse.DESCRIPTOR, "orders")
SERVICE = contract.DESCRIPTOR.services_by_name["OrderQueryService"]


@dataclass(frozen=True, slots=True)
class OrderQueries:
    """Serves the methods for queries by id. Each raises what its use case raises.

    `now` returns microseconds since 1970.
    """

    order: GetOrder
    batch: BatchGetOrders
    history: GetOrderHistory
    verified_history: VerifyOrderHistory
    now: Callable[[], int]

    def questions(self) -> Mapping[str, Behaviour]:
        """Returns the behaviour of each method, by its name in the contract."""
        return {
            "GetOrder": self.get_order,
            "BatchGetOrders": self.batch_get_orders,
            "GetOrderHistory": self.get_order_history,
            "VerifyOrderHistory": self.verify_order_history,
        }

    async def get_order(self, request: contract.GetOrderRequest, call: Call) -> bytes:
        """Returns one order: as it is now, after a version, or at a time. It is an encoded GetOrderResponse."""
        wanted = consistency(request.read_options, call.seconds)
        answer = await self._asked(request, _canonical(request.order_id), wanted)
        rest = contract.GetOrderResponse()
        put_read_info(rest.read_info, answer.info, self.now())
        return _ORDER.of(answer.found) + rest.SerializeToString()

    async def _asked(self, request: contract.GetOrderRequest, order_id: str, wanted: Consistency) -> Answer[bytes]:
        match request.WhichOneof("at"):
            case "version":
                return await self.order.at_version(order_id, request.version, wanted)
            case "read_time":
                return await self.order.at_time(order_id, microseconds_of(request.read_time), wanted)
            case _:
                return await self.order.now(order_id, wanted)

    async def batch_get_orders(self, request: contract.BatchGetOrdersRequest, call: Call) -> bytes:
        """Returns many orders, in the order of their ids in the request: an encoded BatchGetOrdersResponse.

        Raises InvalidRequest for too many to send.
        """
        wanted = consistency(request.read_options, call.seconds)
        order_ids = [_canonical(order_id) for order_id in request.order_ids]
        answer = await self.batch(order_ids, wanted, basic=request.view == contract.ORDER_VIEW_BASIC)
        orders = that_fit(map(_ORDERS.of, answer.found.orders), len)
        if len(orders) < len(answer.found.orders):
            few = f"must be fewer: only the first {len(orders)} of these orders fit into one answer"
            raise InvalidRequest([Violation("order_ids", few)])
        rest = contract.BatchGetOrdersResponse(
            missing_order_ids=answer.found.missing, read_info=read_info(answer.info, self.now())
        )
        return b"".join((*orders, rest.SerializeToString()))

    async def get_order_history(
        self, request: contract.GetOrderHistoryRequest, call: Call
    ) -> contract.GetOrderHistoryResponse:
        """Returns a page of an order's history, oldest first."""
        wanted = consistency(request.read_options, call.seconds)
        size = page_size(request.page_size)
        page = self.history(_canonical(request.order_id), size, wanted, page_token=request.page_token)
        answer = await page
        entries = that_fit(map(history_message, answer.found.steps))
        return contract.GetOrderHistoryResponse(
            entries=entries,
            next_page_token=answer.found.token_after(len(entries)),
            read_info=read_info(answer.info, self.now()),
        )

    async def verify_order_history(
        self, request: contract.VerifyOrderHistoryRequest, call: Call
    ) -> contract.VerifyOrderHistoryResponse:
        """Verifies an order's history."""
        wanted = consistency(request.read_options, call.seconds)
        answer = await self.verified_history(_canonical(request.order_id), wanted)
        response = verified_message(answer.found)
        response.read_info.CopyFrom(read_info(answer.info, self.now()))
        return response


def _canonical(order_id: str) -> str:
    """Returns a UUID as the store has it. The request rules have refused every other form than with its hyphens."""
    return order_id.lower()
