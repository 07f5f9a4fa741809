"""Lists the money that an event moved: what arrived, and what was paid back.

An order lists only its newest payments, but every payment is in the event that recorded it. So figures of money
received are made of journal entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from query_service.projection.order_document import MoneyDocument
from query_service.projection.proto_json import Object, message, messages, money_in, text, timestamp
from query_service.projection.sales import calendar

PAYMENT, REFUND = "PAYMENT", "REFUND"
#: Type of an event that moves money → the payments or refunds in its payload, and of which kind they are.
_MOVES: Mapping[str, tuple[str, Callable[[Object], Iterable[Object | None]]]] = {
    "ORDER_PAID": (PAYMENT, lambda payload: [message(message(payload, "orderPaid") or {}, "payment")]),
    "ORDER_REFUNDED": (REFUND, lambda payload: [message(message(payload, "orderRefunded") or {}, "refund")]),
    # The event of an import lists all payments of the order.
    "ORDER_IMPORTED": (PAYMENT, lambda payload: messages(message(payload, "order") or {}, "payments")),
}
MONEY_EVENTS = tuple(_MOVES)


def money_moved(event_type: str, payload: Mapping[str, Any]) -> list[MoneyDocument]:
    """Returns what an event moved; `payload` is its ProtoJSON. Raises ProjectionError naming the wrong field."""
    if event_type not in _MOVES:
        return []
    kind, moves_of = _MOVES[event_type]
    order = message(payload, "order") or {}
    currency = text(order, "currencyCode")
    time_field = "payTime" if kind == PAYMENT else "refundTime"
    moves = []
    for move in moves_of(payload):
        if move is None:
            continue
        time = timestamp(move, time_field)
        keys = calendar(time)
        moves.append(
            MoneyDocument(
                kind=kind,
                amount=money_in(currency)(move, "amount") or 0,
                currency_code=currency,
                method=text(move, "method"),
                source=text(order, "source"),
                time=time,
                day=keys["place_day"],
                week=keys["place_week"],
                month=keys["place_month"],
            )
        )
    return moves
