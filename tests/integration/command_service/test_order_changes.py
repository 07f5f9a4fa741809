"""Commands that change an order, on a real PostgreSQL: what is stored is what was answered, through a whole life."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest
from google.protobuf.json_format import Parse
from tandem.orders.consistency_token import decode
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_events_pb2 import OrderEvent

from command_service.application import recording
from command_service.application.command_call import CommandResult
from command_service.domain import commands, rules
from command_service.domain.commands import ImportedPayment, ImportOrder, NewLine, OrderChange
from command_service.domain.errors import OrderNotFound, RuleViolated, VersionMismatch
from command_service.domain.labels import Labels
from command_service.domain.money import Money
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import Address
from command_service.domain.states import OrderState
from command_service.wire.order_messages import order_message
from tests.fixtures.write_model import execute, table_digests
from tests.support.commands.command_application import Application, application, call, place_order
from tests.support.commands.journal import journal_faults
from tests.support.commands.order_model import ARRIVED, OPEN, UNDER_WAY, ModelOrder

#: Everything a life has, in an order in which it is allowed; line 2 comes and goes.
TIME = datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
LINES = (NewLine("CHAI", "Chai", Money("EUR", 1_99), 5, 500, 1_900), NewLine("NEW", "Neu", Money("EUR", 7), 2))


def a_life(order_id: UUID) -> list[OrderChange]:
    def items(*pairs: tuple[int, int]) -> tuple[LineQuantity, ...]:
        return tuple(LineQuantity(*pair) for pair in pairs)

    return [
        commands.HoldOrder(order_id),
        commands.ReviseOrder(order_id, LINES, Money("EUR", 1_00)),
        commands.ChangeShippingAddress(order_id, Address("FR", address_lines=('"a"', "{b,c}", "\\"), recipients=())),
        commands.RecordPayment(order_id, "P1", Money("EUR", 5_00), "card", "ref"),
        commands.ReleaseOrder(order_id),
        commands.LabelOrder(order_id, Labels({"erp/id": '"4711"', "b": "{ü}\\"}), note="Klingeln"),
        commands.RecordPayment(order_id, "P2", Money("EUR", 50_00), "transfer"),
        commands.RefundOrder(order_id, "F1", Money("EUR", 1), "too much"),
        commands.ShipOrder(order_id, "S1", items((1, 2)), "DHL", "T", TIME),
        commands.CancelOrder(order_id, items((1, 1))),
        commands.RecordDelivery(order_id, "S1", TIME + timedelta(days=1)),
        commands.ReturnItems(order_id, "R1", items((1, 1)), TIME + timedelta(days=2)),
        commands.ShipOrder(order_id, "S2"),
        commands.ReturnItems(order_id, "R2", items((1, 1))),
        commands.RecordDelivery(order_id, "S2"),
        commands.RefundOrder(order_id, "F2", Money("EUR", 2)),
    ]


def answered(result: CommandResult) -> contract.PlaceOrderResponse:
    return contract.PlaceOrderResponse.FromString(result.response)


async def test_what_is_stored_is_what_was_answered(command_database: str) -> None:
    async with application(command_database) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        for version, command in enumerate(a_life(placing.order_id), start=2):
            answer = answered(await orders.change(call(), command))
            stored = await orders.stored(placing.order_id)
            assert (answer.version, stored.version) == (version, version)
            assert order_message(stored) == answer.order, command
            assert [event.order_version for event in answer.events] == [version]
    # A redaction looks for the order's earlier events in all partitions: see test_redaction.
    assert {type(command) for command in a_life(uuid4())} == set(get_args(OrderChange)) - {commands.RedactOrder}
    assert await journal_faults(command_database) == []
    assert await execute(command_database, "SELECT count(*) FROM outbox") == [(17,)]


async def test_the_old_address_is_kept_apart_with_the_other_personal_data(command_database: str) -> None:
    async with application(command_database) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        await orders.change(call(), commands.ChangeShippingAddress(placing.order_id, Address("FR", locality="Lyon")))
    ((payload, personal),) = await execute(
        command_database, "SELECT payload::text, personal::text FROM outbox WHERE aggregate_version = 2"
    )
    assert "Köln" not in str(payload)
    assert "Lyon" not in str(payload)
    event = Parse(str(payload), OrderEvent())
    assert event.order_shipping_address_changed.previous_region_code == "DE"
    assert '"previousShippingAddress":{"regionCode":"DE"' in str(personal)
    assert "Köln" in str(personal)


async def test_each_command_repeated_gets_its_first_answer(command_database: str) -> None:
    async with application(command_database) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        given = []
        for command in a_life(placing.order_id):
            asked = call()
            given.append((asked, command, await orders.change(asked, command)))
        before = await table_digests(command_database)
        for asked, command, first in given:
            again = await orders.change(asked, command)
            assert (again.response, again.replayed) == (first.response, True)
            # Also when the order has moved on, so that the expected version is no longer its version.
            assert (await orders.change(replace(asked, expected_version=1), command)).response == first.response
        assert await table_digests(command_database) == before


def lives(order_id: UUID) -> Iterator[tuple[OrderState, Sequence[OrderChange]]]:
    """For each state, what leads an order there."""
    paid = commands.RecordPayment(order_id, "P", Money("EUR", 100_00), "card")
    shipped, delivered = commands.ShipOrder(order_id, "S"), commands.RecordDelivery(order_id, "S")
    returned = commands.ReturnItems(order_id, "R", (LineQuantity(1, 3), LineQuantity(2, 1)))
    cancelled = commands.CancelOrder(order_id)
    yield OrderState.PLACED, ()
    yield OrderState.PAID, (paid,)
    yield OrderState.SHIPPED, (paid, shipped)
    yield OrderState.DELIVERED, (paid, shipped, delivered)
    yield OrderState.RETURNED, (paid, shipped, delivered, returned)
    yield OrderState.CANCELLED, (cancelled,)
    yield OrderState.REFUNDED, (paid, cancelled, commands.RefundOrder(order_id, "F", Money("EUR", 100_00)))


async def test_an_order_is_made_once_whatever_has_become_of_it(command_database: str) -> None:
    assert [state for state, _ in lives(uuid4())] == list(OrderState)
    async with application(command_database) as orders:
        for state in OrderState:
            placing = place_order()
            await orders.place(call(), placing)
            for command in dict(lives(placing.order_id))[state]:
                await orders.change(call(), command)
            assert (await orders.stored(placing.order_id)).state == state
            before = await table_digests(command_database)
            for again in (orders.place(call(), placing), orders.import_(call(), ImportOrder(placing, TIME))):
                with pytest.raises(RuleViolated) as refused:
                    await again
                assert refused.value.rule == rules.ORDER_ID_TAKEN
                assert refused.value.details == {"order_id": str(placing.order_id)}
            assert await table_digests(command_database) == before


async def test_there_must_be_an_order_to_change(command_database: str) -> None:
    async with application(command_database) as orders:
        unknown = uuid4()
        for command in a_life(unknown):
            with pytest.raises(OrderNotFound) as refused:
                await orders.change(call(), command)
            assert refused.value.details == {"order_id": str(unknown)}


async def test_refusals_write_nothing(command_database: str) -> None:
    async with application(command_database) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        before = await table_digests(command_database)
        with pytest.raises(VersionMismatch) as refused:
            await orders.change(replace(call(), expected_version=2), commands.HoldOrder(placing.order_id))
        assert refused.value.details["current_version"] == "1"
        with pytest.raises(OrderNotFound):
            await orders.change(call(), commands.HoldOrder(uuid4()))
        with pytest.raises(RuleViolated) as violated:
            await orders.change(call(), commands.ShipOrder(placing.order_id, "S1"))
        assert violated.value.rule == rules.SHIP_PAID_ONLY
        assert await table_digests(command_database) == before
        held = await orders.change(replace(call(), expected_version=1), commands.HoldOrder(placing.order_id))
        assert answered(held).version == 2


def an_import(**changes: object) -> ImportOrder:
    placing = place_order(order_number=str(uuid4()))
    pieces = (LineQuantity(1, 2), LineQuantity(2, 1))
    fields = {
        "placed_at": TIME,
        "payments": (
            ImportedPayment("P1", Money("EUR", 5_00), "card", "r", TIME),
            ImportedPayment("P2", Money("EUR", 1), "card", "", TIME),
        ),
        "shipments": (
            Shipment("S1", pieces, "DHL", "T", TIME, TIME + timedelta(days=1)),
            Shipment("S2", (LineQuantity(1, 1),), "", "", TIME),
        ),
        "on_hold": True,
        **changes,
    }
    return ImportOrder(placing, **fields)  # type: ignore[arg-type]


async def test_an_imported_order_is_stored_whole_under_one_event(command_database: str) -> None:
    async with application(command_database) as orders:
        asked, command = call(), an_import()
        first = await orders.import_(asked, command)
        result = contract.ImportOrdersResponse.FromString(first.response)
        assert (result.order_id, result.version) == (str(command.order.order_id), 1)
        assert (result.request_id, result.replayed, result.status) == (str(asked.request_id), False, b"")
        stored = await orders.stored(command.order.order_id)
        assert stored.shipments == command.shipments
        assert [payment.paid_at for payment in stored.payments] == [TIME, TIME]
        assert (stored.placed_at, stored.updated_at, stored.on_hold) == (TIME, TIME + timedelta(days=1), True)
        assert [line.delivered_quantity for line in stored.lines] == [2, 1]
        again = await orders.import_(asked, command)
        assert (again.response, again.replayed) == (first.response, True)
        await orders.change(call(), commands.RecordDelivery(stored.order_id, "S2"))
    rows = await execute(
        command_database, "SELECT event_type, occurred_at, recorded_at > occurred_at FROM outbox ORDER BY position"
    )
    assert rows[0] == ("ORDER_IMPORTED", TIME, True)
    assert await journal_faults(command_database) == []


async def test_times_of_the_remote_past_are_kept_exactly(command_database: str) -> None:
    ancient = datetime(1, 1, 1, tzinfo=UTC)
    async with application(command_database) as orders:
        command = an_import(placed_at=ancient, payments=(), shipments=(), on_hold=False)
        await orders.import_(call(), command)
        await orders.change(
            call(), commands.RecordPayment(command.order.order_id, "P", Money("EUR", 1), "card", "", ancient)
        )
        stored = await orders.stored(command.order.order_id)
    assert (stored.placed_at, stored.payments[0].paid_at) == (ancient, ancient)
    assert await journal_faults(command_database) == []


def same_again(order_id: UUID) -> Iterator[OrderChange]:
    """Commands that ask a new order for the address and the lines that it has."""
    placed = place_order(order_id)
    yield commands.ChangeShippingAddress(order_id, placed.shipping_address)
    yield commands.ReviseOrder(order_id, placed.lines)
    yield commands.ReviseOrder(order_id, placed.lines, placed.freight, Money("EUR", 21_70))


async def check_that_nothing_is_recorded(url: str) -> None:
    """The check: a change to what the order already is gets an answer, which a retry gets again, and nothing else."""
    async with application(url) as orders:
        order_id = uuid4()
        await orders.place(call(), place_order(order_id))
        kept = await orders.stored(order_id)
        events = await execute(url, "SELECT count(*), max(position) FROM outbox")
        for command in same_again(order_id):
            asked = replace(call(), expected_version=1)
            first = await orders.change(asked, command)
            answer = answered(first)
            assert list(answer.events) == []
            assert (answer.order, answer.version) == (order_message(kept), 1)
            assert decode(answer.consistency_token).versions == {str(order_id): 1}
            again = await orders.change(asked, command)
            assert (again.response, again.replayed) == (first.response, True)
            with pytest.raises(VersionMismatch):
                await orders.change(replace(call(), expected_version=2), command)
        assert await orders.stored(order_id) == kept
        assert await execute(url, "SELECT count(*), max(position) FROM outbox") == events
        # A change later still is the order's second version.
        assert answered(await orders.change(call(), commands.HoldOrder(order_id))).version == 2
    assert await journal_faults(url) == []


async def test_a_change_to_what_the_order_is_records_nothing(command_database: str) -> None:
    await check_that_nothing_is_recorded(command_database)


@pytest.mark.mutant
async def test_an_event_without_a_change_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: every decision is recorded, also one that changes nothing."""
    monkeypatch.setattr(recording, "changes_nothing", lambda *_: False)
    with pytest.raises(AssertionError, match="event_id"):
        await check_that_nothing_is_recorded(command_database)


async def test_statements_of_a_change(command_database: str) -> None:
    transactions: list[Sequence[str]] = []
    async with application(command_database, transactions.append) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        await orders.change(call(), commands.HoldOrder(placing.order_id))
    texts = [statement.partition(",")[0].partition(" (")[0] for statement in transactions[-1]]
    assert texts == [
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        "INSERT INTO command_log",
        "SELECT version FROM orders WHERE order_id = $1 FOR NO KEY UPDATE",  # the lock, before anything is read
        "SELECT order_id",
        "UPDATE orders SET version = $2",
        "INSERT INTO outbox",  # the position, behind the lock
        "UPDATE command_log SET response = $3 WHERE principal = $1 AND request_id = $2",
        "COMMIT",
    ]


@dataclass
class Chance:
    """Commands at random, most of them allowed."""

    source: random.Random
    model: ModelOrder
    order_id: UUID
    made: int = 0

    def commands(self, count: int) -> Iterator[OrderChange]:
        for self.made in range(count):
            yield self._command(f"X{self.made}")

    def _some(self, where: str) -> tuple[LineQuantity, ...]:
        there = {n: sum(piece.where == where for piece in line.pieces) for n, line in self.model.lines.items()}
        return tuple(LineQuantity(n, self.source.randint(1, pieces)) for n, pieces in there.items() if pieces)

    def _command(self, name: str) -> OrderChange:
        model, order_id = self.model, self.order_id
        under_way = [piece.shipment for piece in model.all() if piece.where == UNDER_WAY]
        rest = max(1, model.kept - model.balance)
        possible: list[OrderChange] = [
            commands.RecordPayment(order_id, name, Money("EUR", self.source.choice([1, rest])), "card"),
            commands.RefundOrder(order_id, name, Money("EUR", max(1, model.due))),
            commands.ShipOrder(order_id, name, self._some(OPEN)),
            commands.CancelOrder(order_id, self._some(OPEN)[:1]),
            commands.RecordDelivery(order_id, self.source.choice(under_way or ["none"])),
            commands.ReturnItems(order_id, name, self._some(ARRIVED)),
            commands.ReviseOrder(order_id, LINES[: self.source.randint(1, 2)]),
            commands.ChangeShippingAddress(order_id, Address(self.source.choice(["DE", "FR"]))),
            commands.HoldOrder(order_id),
            commands.ReleaseOrder(order_id),
            commands.LabelOrder(
                order_id, Labels({"a": self.source.choice("xy")}), note=self.source.choice(["n", None])
            ),
        ]
        return self.source.choice(possible)


@pytest.mark.parametrize("seed", range(4))
async def test_any_commands_leave_tables_journal_and_model_agreeing(command_database: str, seed: int) -> None:
    done = 0
    async with application(command_database) as orders:
        placing = place_order()
        await orders.place(call(), placing)
        chance = Chance(random.Random(seed), ModelOrder.placed(placing), placing.order_id)
        for command in chance.commands(60):
            stored = await after(orders, command)
            assert (stored is not None) == chance.model.allows(command), command
            if stored is not None:
                done += 1
                chance.model.do(command)
                assert (stored.version, stored.state, stored.total) == (
                    chance.model.version,
                    chance.model.state,
                    chance.model.total,
                )
    assert done > 10
    assert await journal_faults(command_database) == []


async def after(orders: Application, command: OrderChange) -> Order | None:
    """The stored order after the command; None when it was refused."""
    try:
        answer = answered(await orders.change(call(), command))
    except RuleViolated:
        return None
    stored = await orders.stored(command.order_id)
    assert order_message(stored) == answer.order
    return stored
