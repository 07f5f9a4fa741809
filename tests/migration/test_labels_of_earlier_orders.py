"""The revision that gives orders labels: orders of before have none, can get some, and no row is written for that."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg

from command_service.application.command_call import CommandCall
from command_service.application.ports import FirstCall, Recorded
from command_service.application.recording import Recorder
from command_service.domain.commands import LabelOrder
from command_service.domain.decisions import decide_new
from command_service.domain.labels import Labels
from command_service.storage.connection.message_writer import Statement
from command_service.storage.order_rows import order_row
from command_service.storage.orders import ADD_CUSTOMER, ADD_ORDER, new_order
from command_service.storage.schema import migrate
from command_service.wire.representation import ContractRepresentation
from tests.support.commands.command_application import application, call
from tests.support.commands.domain_orders import NOW, ORDER_ID, place_order

ADDED = ("labels", "note")
FILE = "SELECT pg_relation_filenode('orders')"


def of_before() -> list[Statement]:
    """The statements by which the release before wrote a new order."""
    recorder = Recorder(ContractRepresentation(900_000), lambda: (UUID(int=5), b"s" * 16))
    asked = CommandCall("shop", UUID(int=7), b"")
    written = recorder.record(asked, FirstCall(NOW, 1), None, decide_new(place_order(), NOW))
    assert isinstance(written, Recorded)
    row = {name: value for name, value in order_row(written.after, written.event).items() if name not in ADDED}
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    add_order: Statement = (f"INSERT INTO orders ({', '.join(row)}) VALUES ({places})", list(row.values()))
    add_customer: Statement = (ADD_CUSTOMER, (written.after.customer.customer_id,))
    return [
        add_customer,
        *(
            add_order if statement[0] == ADD_ORDER.sql else statement
            for statement in new_order(written.after, written.event)
        ),
    ]


async def test_an_order_of_before_has_no_labels_and_can_get_some(postgres_database: str) -> None:
    await asyncio.to_thread(migrate, postgres_database, "0002")
    async with await psycopg.AsyncConnection.connect(
        postgres_database, autocommit=True, cursor_factory=psycopg.AsyncRawCursor
    ) as connection:
        for sql, values in of_before():
            await connection.execute(sql, values)
        before = await (await connection.execute(FILE)).fetchone()
        await asyncio.to_thread(migrate, postgres_database)
        assert await (await connection.execute(FILE)).fetchone() == before, "the table was written anew"
        found = await (await connection.execute("SELECT labels, note FROM orders")).fetchall()
        assert found == [({}, "")]
    async with application(postgres_database) as orders:
        assert (await orders.stored(ORDER_ID)).labels == Labels()
        await orders.change(call(), LabelOrder(ORDER_ID, Labels({"erp/id": "4711"}), note="ring twice"))
        stored = await orders.stored(ORDER_ID)
    assert (stored.labels, stored.note, stored.version) == (Labels({"erp/id": "4711"}), "ring twice", 2)
