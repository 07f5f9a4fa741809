"""Lists the money that an event moved: what arrived, and what was paid back.

An order lists only its newest payments, but every payment is in the event that recorded it. So figures of money
received are made of journal entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from query_service.projection.order_document import MoneyDocument
from query_service.projection.recorded_order import Order, Payload, Payment, Refund
from query_service.projection.sales import calendar
from query_service.projection.shown_order import amount_in, time_of

PAYMENT, REFUND = "PAYMENT", "REFUND"
Move = Payment | Refund | None
#: Type of an event that moves money → the payments or refunds in its payload, and of which kind they are.
_MOVES: Mapping[str, tuple[str, Callable[[Payload], Iterable[Move]]]] = {
    "ORDER_PAID": (PAYMENT, lambda payload: [payload.order_paid.payment if payload.order_paid else None]),
    "ORDER_REFUNDED": (REFUND, lambda payload: [payload.order_refunded.refund if payload.order_refunded else None]),
    # The event of an import lists all payments of the order.
    "ORDER_IMPORTED": (PAYMENT, lambda payload: payload.order.payments if payload.order else []),
}
MONEY_EVENTS = tuple(_MOVES)


def money_moved(event_type: str, payload: Payload) -> list[MoneyDocument]:
    """Returns what an event moved. Raises ProjectionError naming the wrong field."""
    if event_type not in _MOVES:
        return []
    kind, moves_of = _MOVES[event_type]
    order = payload.order or Order()
    amount = amount_in(order.currency_code)
    moves = []
    for move in moves_of(payload):
        if move is None:
            continue
        time, _ = (
            time_of(move.pay_time, "payTime") if isinstance(move, Payment) else time_of(move.refund_time, "refundTime")
        )
        keys = calendar(time)
        moves.append(
            MoneyDocument(
                kind=kind,
                amount=amount(move.amount, "amount")[0] or 0,
                currency_code=order.currency_code,
                method=move.method if isinstance(move, Payment) else "",
                source=order.source,
                time=time,
                day=keys["place_day"],
                week=keys["place_week"],
                month=keys["place_month"],
            )
        )
    return moves
