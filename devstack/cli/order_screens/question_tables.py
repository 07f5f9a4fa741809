"""Shows lists and figures of the read side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tandem.orders.v1.order_query_service_pb2 import (
    GetCustomerSummaryResponse,
    OrderDimension,
    OrderSummary,
    Percentile,
    SearchOrdersResponse,
    SummarizeOrdersResponse,
)
from tandem.orders.v1.order_types_pb2 import Order, OrderState

from devstack.cli.order_screens.order_screen import freshness
from devstack.cli.order_screens.order_words import amount, day, name_words, order_state, time
from devstack.cli.tables import Column, Facts, Rows
from devstack.cli.terminal import Picture, plain, say, say_whole, show

_IN_TIME = (
    OrderDimension.ORDER_DIMENSION_DAY,
    OrderDimension.ORDER_DIMENSION_WEEK,
    OrderDimension.ORDER_DIMENSION_MONTH,
)
_ORDERS = (
    Column("order", named=False),
    Column("id", named=False),
    Column("placed", named=False),
    Column("state", folds=True, named=False),
    Column("customer", folds=True, named=False),
    Column("to"),
    Column("total", right=True, named=False),
)
_FIGURES = tuple(
    Column(heading, right=True) for heading in ("orders", "pieces", "net", "tax", "freight", "total", "average")
)

_MONEY = (
    Column("currency", named=False),
    *(Column(heading, right=True) for heading in ("paid", "refunded", "returned", "due back")),
)


def print_orders(answer: SearchOrdersResponse) -> None:
    """Prints a page of orders."""
    if answer.orders:
        show(order_rows(answer.orders))
    say(f"{len(answer.orders)} of {answer.total_size:,} orders; {freshness(answer.read_info)}")
    for facet in answer.facets:
        if facet.label_key:
            say("")
            counts = [(count.key, f"{count.orders:,}") for count in facet.counts]
            show(Rows((Column(facet.label_key, folds=True), Column("orders", right=True)), counts))
    if answer.next_page_token:
        say_whole(f"next page: --page-token {answer.next_page_token}")


def order_rows(orders: Iterable[Order]) -> Rows:
    """Returns orders, one per row; number and id are complete however narrow the terminal is."""
    return Rows(
        _ORDERS,
        [
            (
                order.order_number, order.order_id, day(order.place_time), order_state(order),
                order.customer.display_name or order.customer.customer_id, order.shipping_address.region_code,
                amount(order.total),
            )
            for order in orders
        ],
    )  # fmt: skip


def print_summary(answer: SummarizeOrdersResponse, group_by: Sequence[OrderDimension.ValueType]) -> None:
    """Prints one row per group and currency, then the totals. Days, weeks and months are sorted by time.

    `group_by` are the requested dimensions, in the order of the groups' keys.
    """
    groups: Iterable[OrderSummary] = answer.groups
    if group_by[0] in _IN_TIME:
        groups = sorted(groups, key=lambda summary: tuple(summary.keys))
    named = [(" · ".join(map(_key, summary.keys, group_by)), summary) for summary in groups]
    show(summary_rows(named, answer.totals))
    more = "; there are more groups (--max-groups)" if answer.truncated else ""
    ending = "" if len(answer.groups) == 1 else "s"
    say(f"{len(answer.groups)} group{ending}{more}; {freshness(answer.read_info)}")


def summary_rows(groups: Iterable[tuple[str, OrderSummary]], totals: Iterable[OrderSummary]) -> Rows:
    """Returns a row of figures per group, and a row of totals per currency."""
    named = [*groups, *(("all", summary) for summary in totals)]
    asked: Sequence[Percentile] = next((summary.percentiles for _, summary in named if summary.percentiles), ())
    columns = (
        Column("group", folds=True, named=False),
        *_FIGURES,
        *(Column(f"p{one.percentile:g}", right=True) for one in asked),
    )
    return Rows(columns, [(name, *_figures(summary)) for name, summary in named])


def print_customer(answer: GetCustomerSummaryResponse) -> None:
    """Prints a customer, their figures per currency, and their latest orders."""
    show(*_customer(answer))
    say(freshness(answer.read_info))


def _customer(answer: GetCustomerSummaryResponse) -> Iterator[Picture]:
    customer = answer.customer
    yield plain(customer.customer_id, "bold")
    yield Facts(
        (
            ("name", customer.display_name),
            ("e-mail", customer.email),
            ("phone", customer.phone),
            ("orders", f"{answer.orders:,}, {answer.cancelled_orders:,} of them cancelled"),
            ("first order", time(answer.first_place_time)),
            ("latest order", time(answer.last_place_time)),
        )
    )
    if answer.totals:
        yield plain("")
        yield summary_rows((), answer.totals)
    if answer.money:
        yield plain("")
        yield Rows(
            _MONEY,
            [
                (money.currency_code, *map(amount, (money.paid, money.refunded, money.returned, money.refund_due)))
                for money in answer.money
            ],
        )
    if answer.recent_orders:
        yield plain("")
        yield plain("latest orders", "bold")
        yield order_rows(answer.recent_orders)


def _key(key: str, dimension: OrderDimension.ValueType) -> str:
    """Returns a group's key for people: states in words."""
    is_state = dimension == OrderDimension.ORDER_DIMENSION_STATE
    return (name_words(OrderState.DESCRIPTOR, key) if is_state else key) or "none"


def _figures(summary: OrderSummary) -> tuple[str, ...]:
    amounts = (summary.net_total, summary.tax_total, summary.freight, summary.total, summary.average_total)
    percentiles = (amount(one.total) for one in summary.percentiles)
    return (f"{summary.orders:,}", f"{summary.quantity:,}", *map(amount, amounts), *percentiles)
