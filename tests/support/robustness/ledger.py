"""What callers were told. Whatever was acknowledged must be true for ever."""

from __future__ import annotations

from collections import defaultdict

from tandem.orders.v1.order_types_pb2 import Order


class Ledger:
    """Per order the order as its latest acknowledged command answered it, and counts of what callers saw."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.tokens: dict[str, str] = {}
        self.acknowledged = 0
        self.retried = 0
        self.in_flight = {"command": 0, "query-serve": 0}
        self.stale_reads: list[str] = []
        self.errors: dict[str, int] = defaultdict(int)

    def acknowledge(self, order: Order, token: str) -> None:
        """A command was answered with this order."""
        self.acknowledged += 1
        known = self.orders.get(order.order_id)
        if known is None or known.version < order.version:
            self.orders[order.order_id] = order
            self.tokens[order.order_id] = token
