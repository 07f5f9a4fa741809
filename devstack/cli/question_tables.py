"""Answers of the read side as tables in the terminal."""

from __future__ import annotations

import re

from rich.table import Table
from tandem.orders.v1.order_query_service_pb2 import (
    GetOrderHistoryResponse,
    OrderSummary,
    ReadInfo,
    SearchOrdersResponse,
    SummarizeOrdersResponse,
)

from devstack.cli.order_table import amount, console, order_state

_TIME_KEY = re.compile(r"\d{4}-")


def print_orders(answer: SearchOrdersResponse) -> None:
    """A page of orders, one a row."""
    table = _table(("order", "id", "placed", "state", "customer", "to", "total"), right=("total",))
    for order in answer.orders:
        table.add_row(
            order.order_number,
            order.order_id,
            order.place_time.ToJsonString()[:10],
            order_state(order),
            order.customer.display_name or order.customer.customer_id,
            order.shipping_address.region_code,
            amount(order.total),
        )
    out = console()
    out.print(table)
    out.print(f"{len(answer.orders)} of {answer.total_size} orders{_freshness(answer.read_info)}", highlight=False)
    if answer.next_page_token:
        out.print(f"next page: --page-token {answer.next_page_token}", highlight=False, soft_wrap=True)


def print_history(answer: GetOrderHistoryResponse) -> None:
    """What happened, oldest first, and below each change the fields it changed."""
    out = console()
    for entry in answer.entries:
        event = entry.event
        why = f": {event.reason}" if event.reason else ""
        when = event.occur_time.ToJsonString()
        out.print(
            f"[bold]v{event.order_version}[/]  {when}  {event.event_type}  by {event.actor}{why}", highlight=False
        )
        if event.order_version == 1:
            continue  # everything is new
        for change in entry.changes:
            out.print(f"      {change.field}: {change.old_value or '–'} → {change.new_value or '–'}", highlight=False)


def print_summary(answer: SummarizeOrdersResponse) -> None:
    """One row per group and currency, and the totals below. Days, weeks and months stand in their order."""
    headings = ("group", "orders", "pieces", "net", "tax", "freight", "total", "average")
    table = _table(headings, right=headings[1:])
    in_time = all(_TIME_KEY.match(summary.keys[0]) for summary in answer.groups if summary.keys)
    groups = sorted(answer.groups, key=lambda summary: tuple(summary.keys)) if in_time else answer.groups
    for summary in groups:
        table.add_row(" · ".join(summary.keys), *_figures(summary))
    table.add_section()
    for summary in answer.totals:
        table.add_row(f"all, {summary.currency_code}", *_figures(summary))
    out = console()
    out.print(table)
    more = "; there are more groups (--max-groups)" if answer.truncated else ""
    out.print(f"{len(answer.groups)} groups{more}{_freshness(answer.read_info)}", highlight=False)


def _figures(summary: OrderSummary) -> tuple[str, ...]:
    amounts = (summary.net_total, summary.tax_total, summary.freight, summary.total, summary.average_total)
    return (f"{summary.orders:,}", f"{summary.quantity:,}", *(amount(value) for value in amounts))


def _table(headings: tuple[str, ...], right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left")
    return table


def _freshness(info: ReadInfo) -> str:
    return f", as of {info.as_of.ToJsonString()}" if info.HasField("as_of") else ""
