"""Makes orders full of personal data, and finds what is left of it in the write model."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from command_service.domain import commands
from command_service.domain.commands import PlaceOrder
from command_service.domain.labels import Labels
from command_service.domain.parties import Address, Customer
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, call, place_order

#: Stands in every personal text.
CANARY = "Xanthippe"
CUSTOMER = Customer("C1", CANARY, f"{CANARY}@example.org", f"+49 {CANARY}")
ADDRESS = Address("DE", "de", CANARY, CANARY, CANARY, CANARY, CANARY, (CANARY,), (CANARY,), CANARY)
#: Tables with text of callers.
SEARCHED = ("orders", "outbox", "command_log")


def personal_order(customer_id: str = "C1") -> PlaceOrder:
    return place_order(
        customer=replace(CUSTOMER, customer_id=customer_id),
        shipping_address=ADDRESS,
        billing_address=ADDRESS,
        labels=Labels({"name": CANARY}),
        note=CANARY,
    )


async def placed(orders: Application, customer_id: str = "C1") -> UUID:
    """Places an order and makes changes that repeat personal data, with and without an event."""
    placing = personal_order(customer_id)
    order_id = placing.order_id
    await orders.place(call(), placing)
    await orders.change(call(), commands.ChangeShippingAddress(order_id, replace(ADDRESS, region_code="FR")))
    await orders.change(call(), commands.LabelOrder(order_id, Labels({"other": CANARY}), ("name",), f"{CANARY}!"))
    return order_id


async def canaries(url: str) -> dict[str, int]:
    """Counts the rows of each table that contain the canary in any column, also within bytes."""
    hidden = CANARY.encode().hex()
    found = {}
    for table in SEARCHED:
        sql = f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{CANARY}%' OR t::text LIKE '%{hidden}%'"
        [(count,)] = await execute(url, sql)
        found[table] = int(str(count))
    return found
