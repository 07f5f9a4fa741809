"""Shows an order: its states, its amounts, who receives it, and what moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.type.money_pb2 import Money
from tandem.orders.v1.order_query_service_pb2 import BatchGetOrdersResponse, ReadInfo
from tandem.orders.v1.order_types_pb2 import FulfillmentState, Order, OrderLine, PaymentState

from devstack.cli.order_screens.order_money import open_amount
from devstack.cli.order_screens.order_words import (
    address,
    amount,
    enum_words,
    label_words,
    order_state,
    percent,
    pieces,
    time,
)
from devstack.cli.tables import Column, Facts, Rows
from devstack.cli.terminal import Picture, plain, say, say_whole, show


def print_order(answer: Any) -> None:
    """Prints the order of a command's or a query's response, then its token or freshness."""
    show(*order_pictures(answer.order))
    token = getattr(answer, "consistency_token", "")
    say("")
    if len(getattr(answer, "events", ("a query has none",))) == 0:
        say("nothing changed: the order was as requested already")
    if token:
        say_whole(f"token {token}")
    info = getattr(answer, "read_info", None)
    if info is not None:
        say(freshness(info))


def print_several(answer: BatchGetOrdersResponse) -> None:
    """Prints orders below each other, then the ids without an order."""
    for order in answer.orders:
        show(*order_pictures(order), plain(""))
    for order_id in answer.missing_order_ids:
        say(f"no order {order_id}")
    say(freshness(answer.read_info))


def freshness(info: ReadInfo) -> str:
    """Returns how old the answer may be, and what it lacks."""
    age = f"{info.staleness.ToTimedelta().total_seconds():.3f} s ago"
    told = [f"as of {time(info.as_of)}, {age}" if info.HasField("as_of") else "as of a time that is not known yet"]
    if info.stale:
        told.append("it may lack something that was asked for")
    if info.not_final:
        told.append("not final: a change of before the time asked for may still become known")
    if info.parked:
        told.append("a version could not be projected and is parked")
    return "; ".join(told)


def order_pictures(order: Order) -> Iterator[Picture]:
    """Draws an order, from top to bottom."""
    yield plain(order.order_number, "bold")
    yield Facts(_head(order))
    yield plain("")
    yield Rows(_LINE_COLUMNS, [_line(line) for line in order.lines])
    yield plain("")
    yield Facts(_money(order))
    for heading, columns, rows in _moved(order):
        if rows:
            yield plain("")
            yield plain(heading, "bold")
            yield Rows(columns, rows)
    if order.HasField("omitted"):
        left_out = [(field.name, count) for field, count in order.omitted.ListFields()]
        yield plain("")
        yield plain(f"only in the history: {', '.join(f'{count} earlier {name}' for name, count in left_out)}")


_LINE_COLUMNS = (
    Column("line", right=True),
    Column("sku", folds=True),
    Column("product", folds=True, named=False),
    Column("pieces", right=True),
    Column("of them", folds=True, named=False),
    Column("price", right=True),
    Column("less", right=True),
    Column("tax", right=True),
    Column("net", right=True),
)


def _head(order: Order) -> Iterator[tuple[str, str]]:
    yield "id", order.order_id
    yield "version", str(order.version)
    yield "state", order_state(order)
    yield "payment", enum_words(PaymentState, order.payment_state)
    yield "fulfillment", enum_words(FulfillmentState, order.fulfillment_state)
    customer = order.customer
    who = (customer.customer_id, customer.display_name, customer.email, customer.phone)
    yield "customer", ", ".join(part for part in who if part) + (" (erased)" if order.redacted else "")
    yield "ship to", address(order.shipping_address)
    if order.billing_address != order.shipping_address:
        yield "bill to", address(order.billing_address)
    yield "source", order.source
    yield "labels", ", ".join(label_words(key, value) for key, value in sorted(order.labels.items()))
    yield "note", order.note
    yield "placed", time(order.place_time)
    yield "changed", time(order.update_time) if order.version > 1 else ""


def _line(line: OrderLine) -> tuple[str, ...]:
    moved = (
        (line.cancelled_quantity, "cancelled"), (line.shipped_quantity, "shipped"),
        (line.delivered_quantity, "delivered"), (line.returned_quantity, "returned"),
    )  # fmt: skip
    return (
        str(line.line_number),
        line.sku,
        line.product_name,
        str(line.quantity),
        ", ".join(f"{count} {what}" for count, what in moved if count),
        amount(line.unit_price),
        percent(line.discount_basis_points) if line.discount_basis_points else "",
        percent(line.tax_rate_basis_points) if line.tax_rate_basis_points else "",
        amount(line.net_amount),
    )


def _money(order: Order) -> Iterator[tuple[str, Any]]:
    sums = {
        "net": order.net_total, "tax": order.tax_total, "freight": order.freight, "total": order.total,
        "paid": order.paid_total, "refunded": order.refunded_total, "open": open_amount(order),
        "refund due": order.refund_due,
    }  # fmt: skip
    texts = {name: _amount(order, value) for name, value in sums.items()}
    width = max(map(len, texts.values()))
    for name, text in texts.items():
        yield name, plain(text.rjust(width), "bold" if name == "total" else "")


def _amount(order: Order, value: Money) -> str:
    """Returns an amount in words; an absent one is zero in the order's currency."""
    return amount(value if value.currency_code else Money(currency_code=order.currency_code))


_PAYMENTS = (
    Column("id"),
    Column("amount", right=True, named=False),
    Column("method", folds=True, named=False),
    Column("reference", folds=True),
    Column("when", named=False),
)
_SHIPMENTS = (
    Column("id"),
    Column("goods", folds=True, named=False),
    Column("carrier", folds=True),
    Column("tracking number", folds=True),
    Column("shipped"),
    Column("delivered"),
)
_RETURNS = (Column("id"), Column("goods", folds=True, named=False), Column("when", named=False))
_REFUNDS = (
    Column("id"),
    Column("amount", right=True, named=False),
    Column("reference", folds=True),
    Column("when", named=False),
)


def _moved(order: Order) -> Iterator[tuple[str, Sequence[Column], list[tuple[str, ...]]]]:
    """Yields tables of money and goods that moved, with the ids that later commands need."""
    yield (
        "payments",
        _PAYMENTS,
        [(p.payment_id, amount(p.amount), p.method, p.reference, time(p.pay_time)) for p in order.payments],
    )
    yield (
        "shipments",
        _SHIPMENTS,
        [
            (s.shipment_id, pieces(s.items), s.carrier, s.tracking_number, time(s.ship_time), time(s.deliver_time))
            for s in order.shipments
        ],
    )
    yield "returns", _RETURNS, [(r.return_id, pieces(r.items), time(r.return_time)) for r in order.returns]
    yield (
        "refunds",
        _REFUNDS,
        [(r.refund_id, amount(r.amount), r.reference, time(r.refund_time)) for r in order.refunds],
    )
