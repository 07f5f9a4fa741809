"""Records what callers were told. Every acknowledged change must stay true."""

from __future__ import annotations

from collections import defaultdict

from tandem.orders.v1.order_types_pb2 import Order


class Ledger:
    """Each order as in its latest acknowledged response, and counts of what callers saw."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.tokens: dict[str, str] = {}
        self.acknowledged = 0
        self.retried = 0
        self.in_flight = {"command": 0, "query-serve": 0}
        self.stale_reads: list[str] = []
        self.errors: dict[str, int] = defaultdict(int)

    def acknowledge(self, order: Order, token: str) -> None:
        """Records the order in a command's response."""
        self.acknowledged += 1
        known = self.orders.get(order.order_id)
        if known is None or known.version < order.version:
            self.orders[order.order_id] = order
            self.tokens[order.order_id] = token
