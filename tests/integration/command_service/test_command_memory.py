"""How long a repetition is answered as the first time, and what becomes of one that comes too late."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from command_service.application.command_call import CommandCall
from command_service.domain import commands
from command_service.domain.commands import NewLine, OrderChange
from command_service.domain.errors import RuleViolated
from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity
from command_service.domain.order import Order
from command_service.domain.parties import Address
from command_service.storage.housekeeping import Housekeeping
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, application, call, place_order

PROMISE_HOURS = 24.0


def aged(interval: str) -> str:
    return f"UPDATE command_log SET recorded_at = recorded_at - interval '{interval}'"


async def test_midnight_does_not_matter(command_database: str) -> None:
    """The command is of yesterday, the repetition of today: the key knows no day."""
    async with application(command_database) as orders:
        asked, command = call(), place_order()
        first = await orders.place(asked, command)
        await execute(command_database, aged("23 h 59 min"))
        keeper = Housekeeping(orders.pool, retention_hours=PROMISE_HOURS)
        assert await keeper.expire_command_log() == 0
        again = await orders.place(asked, command)
        assert (again.response, again.replayed) == (first.response, True)
        await execute(command_database, aged("2 min"))
        assert await keeper.expire_command_log() == 1


#: The order is paid and one piece of it delivered. Command → how it is asked for.
Ask = Callable[[UUID, CommandCall], OrderChange]
FORGOTTEN: dict[str, Ask] = {
    "RecordPayment": lambda order_id, asked: commands.RecordPayment(
        order_id, str(asked.derived_id("payment")), Money("EUR", 1), "card"
    ),
    "RefundOrder": lambda order_id, asked: commands.RefundOrder(
        order_id, str(asked.derived_id("refund")), Money("EUR", 1)
    ),
    "ShipOrder": lambda order_id, asked: commands.ShipOrder(
        order_id, str(asked.derived_id("shipment")), (LineQuantity(1, 1),)
    ),
    "RecordDelivery": lambda order_id, _: commands.RecordDelivery(order_id, "S2"),
    "ReturnItems": lambda order_id, asked: commands.ReturnItems(
        order_id, str(asked.derived_id("return")), (LineQuantity(1, 1),)
    ),
    "CancelOrder": lambda order_id, _: commands.CancelOrder(order_id),
    "HoldOrder": lambda order_id, _: commands.HoldOrder(order_id),
}


async def order_with_everything(orders: Application) -> UUID:
    """Overpaid, two pieces of five delivered, one under way, two left."""
    command = place_order(lines=(NewLine("CHAI", "Chai", Money("EUR", 1_00), 5),))
    order_id = command.order_id
    await orders.place(call(), command)
    changes: tuple[OrderChange, ...] = (
        commands.RecordPayment(order_id, "P", Money("EUR", 20_00), "card"),
        commands.ShipOrder(order_id, "S1", (LineQuantity(1, 2),)),
        commands.RecordDelivery(order_id, "S1"),
        commands.ShipOrder(order_id, "S2", (LineQuantity(1, 1),)),
    )
    for change in changes:
        await orders.change(call(), change)
    return order_id


@pytest.mark.parametrize("ask", FORGOTTEN.values(), ids=FORGOTTEN)
async def test_what_was_forgotten_is_refused_not_done_twice(command_database: str, ask: Ask) -> None:
    async with application(command_database) as orders:
        order_id, asked = await order_with_everything(orders), call()
        await orders.change(asked, ask(order_id, asked))
        done = await orders.stored(order_id)
        await execute(command_database, aged("25 h"))
        await Housekeeping(orders.pool, retention_hours=PROMISE_HOURS).expire_command_log()
        with pytest.raises(RuleViolated):
            await orders.change(asked, ask(order_id, asked))
        assert await orders.stored(order_id) == done


async def test_what_was_forgotten_and_says_all_itself_changes_nothing_more(command_database: str) -> None:
    """Lines, freight and addresses are replaced by what the request says: twice is as good as once."""
    changes: list[Callable[[UUID], OrderChange]] = [
        lambda order_id: commands.ReviseOrder(order_id, (NewLine("TOFU", "Tofu", Money("EUR", 5), 2),)),
        lambda order_id: commands.ChangeShippingAddress(order_id, Address("FR", locality="Lyon")),
    ]
    async with application(command_database) as orders:
        for change in changes:
            command, asked = place_order(), call()
            await orders.place(call(), command)
            await orders.change(asked, change(command.order_id))
            done = await orders.stored(command.order_id)
            await execute(command_database, "DELETE FROM command_log")
            await orders.change(asked, change(command.order_id))
            again = await orders.stored(command.order_id)
            assert content(again) == content(done)
            assert again.version == done.version  # a revision that changes nothing writes no event


def content(order: Order) -> tuple[object, ...]:
    return (order.lines, order.freight, order.shipping_address, order.amounts, order.state)
