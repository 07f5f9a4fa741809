"""An order as a table in the terminal."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

from google.type.money_pb2 import Money
from rich.console import Console
from rich.table import Table
from tandem.orders.v1.order_types_pb2 import Order, OrderState

WIDTH_WITHOUT_TERMINAL = 200


def console() -> Console:
    """Standard output; as wide as the terminal, and wide enough for every table where there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def amount(value: Money) -> str:
    """`1,234.50 EUR`; at least two decimals, more when they are there."""
    exact = Decimal(value.units) + Decimal(value.nanos) / 1_000_000_000
    text = f"{exact:,.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')} {value.currency_code}"


def order_state(order: Order) -> str:
    """`placed`, or `placed, on hold`."""
    state = OrderState.Name(order.state).removeprefix("ORDER_STATE_").lower()
    return f"{state}, on hold" if order.on_hold else state


def print_order(answer: Any) -> None:
    """Prints the order of a command's or a query's response, and what else there is to know about the answer."""
    order: Order = answer.order
    out = console()
    out.print(f"[bold]{order.order_number}[/]  {order.order_id}  version {order.version}  {order_state(order)}")
    out.print(f"{order.customer.customer_id} {order.customer.display_name}".strip(), highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("line", "sku", "product", "quantity", "price", "net"):
        table.add_column(heading, justify="left" if heading in ("sku", "product") else "right")
    for line in order.lines:
        price, net = amount(line.unit_price), amount(line.net_amount)
        table.add_row(str(line.line_number), line.sku, line.product_name, str(line.quantity), price, net)
    out.print(table)
    out.print(
        f"net {amount(order.net_total)}  tax {amount(order.tax_total)}  freight {amount(order.freight)}  "
        f"[bold]total {amount(order.total)}[/]",
        highlight=False,
    )
    token = getattr(answer, "consistency_token", "")
    if token:
        out.print(f"token {token}", highlight=False, soft_wrap=True)
    info = getattr(answer, "read_info", None)
    if info is not None:
        staleness = info.staleness.ToTimedelta().total_seconds()
        out.print(f"as of {info.as_of.ToJsonString()}, {staleness:.3f} s ago", highlight=False)
