"""Serves lists and sums: converts requests for the use cases, and their answers to responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.ports.order_questions import Dimension, OrderSummaries
from query_service.application.questions.customer_summary import GetCustomerSummary
from query_service.application.questions.search_orders import SearchOrders
from query_service.application.questions.summarize_orders import SummarizeOrders
from query_service.application.questions.summarize_payments import SummarizePayments
from query_service.handlers.grpc.answering import (
    DEFAULT_GROUPS,
    DEFAULT_PAYMENT_GROUPS,
    consistency,
    page_size,
    that_fit,
)
from query_service.wire.figures import customer_money_message, fill_payments, fill_summary
from query_service.wire.joined_messages import EncodedField
from query_service.wire.money_and_time import time_message
from query_service.wire.order_criteria import criteria_of, dimension_value, dimensions_of, sort_of, zone_of
from query_service.wire.payment_criteria import payments_of
from query_service.wire.read_info import put_read_info, read_info
from service_runtime.edge.service_methods import Behaviour, Call

_ORDERS = EncodedField(contract.SearchOrdersResponse.DESCRIPTOR, "orders")


@dataclass(frozen=True, slots=True)
class OrderLists:
    """Serves the methods for lists and sums. Each raises what its use case raises.

    `now` returns microseconds since 1970.
    """

    search: SearchOrders
    summaries: SummarizeOrders
    customer: GetCustomerSummary
    payments: SummarizePayments
    now: Callable[[], int]

    def questions(self) -> Mapping[str, Behaviour]:
        """Returns the behaviour of each method, by its name in the contract."""
        return {
            "SearchOrders": self.search_orders,
            "SummarizeOrders": self.summarize_orders,
            "GetCustomerSummary": self.get_customer_summary,
            "SummarizePayments": self.summarize_payments,
        }

    async def search_orders(self, request: contract.SearchOrdersRequest, call: Call) -> bytes:
        """Returns a page of orders: an encoded SearchOrdersResponse."""
        page = self.search(
            criteria_of(request.filter),
            sort_of(request.sort),
            page_size(request.page_size),
            consistency(request.read_options, call.seconds),
            page_token=request.page_token,
            facets=dimensions_of(request.facets),
            facet_label=request.facet_label_key,
            basic=request.view == contract.ORDER_VIEW_BASIC,
        )
        answer = await page
        orders = that_fit((_ORDERS.of(order.encoded) for order in answer.found.orders), len)
        rest = contract.SearchOrdersResponse(
            next_page_token=answer.found.token_after(len(orders)),
            total_size=answer.found.total,
            facets=[*_facets(answer.found.facets), *_label_facet(request.facet_label_key, answer.found.label_values)],
            resume_token=answer.found.resume_token,
        )
        put_read_info(rest.read_info, answer.info, self.now())
        return b"".join((*orders, rest.SerializeToString()))

    async def summarize_orders(
        self, request: contract.SummarizeOrdersRequest, call: Call
    ) -> contract.SummarizeOrdersResponse:
        """Returns figures by group."""
        percentiles = tuple(request.percentiles)
        asked = OrderSummaries(
            criteria_of(request.filter),
            dimensions_of(request.group_by),
            request.max_groups or DEFAULT_GROUPS,
            percentiles,
            zone_of(request.time_zone),
        )
        figures = self.summaries(
            asked, consistency(request.read_options, call.seconds), include_cancelled=request.include_cancelled
        )
        answer = await figures
        response = contract.SummarizeOrdersResponse(truncated=answer.found.truncated)
        put_read_info(response.read_info, answer.info, self.now())
        for group in answer.found.groups:
            fill_summary(response.groups.add(), group, percentiles)
        for total in answer.found.totals:
            fill_summary(response.totals.add(), total, percentiles)
        return response

    async def get_customer_summary(
        self, request: contract.GetCustomerSummaryRequest, call: Call
    ) -> contract.GetCustomerSummaryResponse:
        """Returns a customer's figures."""
        wanted = consistency(request.read_options, call.seconds)
        answer = await self.customer(request.customer_id, wanted)
        figures = answer.found.figures
        recent = [Order.FromString(encoded) for encoded in answer.found.recent]
        response = contract.GetCustomerSummaryResponse(
            customer=recent[0].customer,  # as they are in their latest order
            orders=figures.orders,
            cancelled_orders=figures.cancelled_orders,
            first_place_time=time_message(figures.first_place_time),
            last_place_time=time_message(figures.last_place_time),
            recent_orders=that_fit(recent),
            money=[customer_money_message(money) for money in figures.money],
            read_info=read_info(answer.info, self.now()),
        )
        for total in figures.totals:
            fill_summary(response.totals.add(), total)
        return response

    async def summarize_payments(
        self, request: contract.SummarizePaymentsRequest, call: Call
    ) -> contract.SummarizePaymentsResponse:
        """Returns figures of money by group."""
        asked = payments_of(request, request.max_groups or DEFAULT_PAYMENT_GROUPS)
        answer = await self.payments(asked, consistency(request.read_options, call.seconds))
        response = contract.SummarizePaymentsResponse(
            truncated=answer.found.truncated, read_info=read_info(answer.info, self.now())
        )
        for group in answer.found.groups:
            fill_payments(response.groups.add(), group)
        for total in answer.found.totals:
            fill_payments(response.totals.add(), total)
        return response


_Counts = Sequence[tuple[str, int]]


def _facets(found: Mapping[Dimension, _Counts]) -> Iterator[contract.Facet]:
    for dimension, counts in found.items():
        yield contract.Facet(dimension=dimension_value(dimension), counts=_counts(counts))


def _label_facet(label_key: str, counts: _Counts) -> Iterator[contract.Facet]:
    if label_key:
        yield contract.Facet(label_key=label_key, counts=_counts(counts))


def _counts(counts: _Counts) -> list[contract.FacetCount]:
    return [contract.FacetCount(key=key, orders=count) for key, count in counts]
