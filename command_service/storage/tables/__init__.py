"""Declares the write model's tables. The migrations create them, and a test checks that both agree.

Amounts are minor units of the order's currency, times are UTC. CHECKs and foreign keys enforce a second time the
business rules that SQL can express (`rule_constraints`). Amounts and states that follow from other columns are stored
too, for people who read the tables.
"""

from command_service.storage.tables.journal import command_log, outbox, outbox_parked, relay_state, source
from command_service.storage.tables.metadata import metadata
from command_service.storage.tables.movements import payments, refunds, return_lines, returns, shipment_lines, shipments
from command_service.storage.tables.orders import customers, order_lines, orders

__all__ = [
    "command_log",
    "customers",
    "metadata",
    "order_lines",
    "orders",
    "outbox",
    "outbox_parked",
    "payments",
    "refunds",
    "relay_state",
    "return_lines",
    "returns",
    "shipment_lines",
    "shipments",
    "source",
]
