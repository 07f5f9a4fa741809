"""Any sequence of commands, against an order told a second time: the same states, no money and no piece lost."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from command_service.application.command_call import CommandCall
from command_service.domain.commands import HoldOrder, NewLine, OrderChange, ReleaseOrder
from command_service.domain.decision import Decision, changes_nothing
from command_service.domain.decisions import decide, decide_new
from command_service.domain.errors import RuleViolated
from command_service.domain.events import LaterEvent
from command_service.domain.evolve import evolve
from command_service.domain.money import Money
from command_service.domain.order import Order
from command_service.wire.event_room import room_needed
from command_service.wire.representation import ContractRepresentation
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    RELEASE,
    cancel,
    deliver,
    label,
    move_to,
    pay,
    place_order,
    refund,
    revise,
    ship,
    take_back,
)
from tests.support.commands.order_model import ARRIVED, BACK, CANCELLED, OPEN, UNDER_WAY, ModelOrder

CURRENCIES = st.sampled_from(["EUR"] * 15 + ["USD"])
AMOUNTS = st.one_of(st.integers(-1, 3), st.integers(0, 5_000))
LINES = st.builds(
    NewLine,
    sku=st.sampled_from("ABC"),
    product_name=st.just("Thing"),
    unit_price=st.builds(Money, CURRENCIES, st.integers(0, 2_000)),
    quantity=st.integers(1, 4),
    discount_basis_points=st.sampled_from([0, 0, 500, 3_333, 10_000]),
    tax_rate_basis_points=st.sampled_from([0, 700, 1_900]),
)
EURO_LINES = LINES.filter(lambda line: line.unit_price.currency == "EUR")
#: Ids from a small stock, so that some are taken; most are new, which the empty one stands for.
IDS = st.sampled_from(["", "", "", "a", "b"])
ITEMS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), max_size=3)
CALL = CommandCall("shop", UUID(int=7), b"")


class Orders(RuleBasedStateMachine):
    """One order, as the command service has it and as the model has it."""

    first: Order
    order: Order
    model: ModelOrder

    @initialize(lines=st.lists(EURO_LINES, min_size=1, max_size=3), freight=st.integers(0, 500))
    def place(self, lines: list[NewLine], freight: int) -> None:
        command = place_order(lines=tuple(lines), freight=Money("EUR", freight))
        placed = decide_new(command, NOW)
        self.first = self.order = placed.order
        self.events: list[LaterEvent] = []
        self.model = ModelOrder.placed(command)

    def ask(self, command: OrderChange) -> None:
        """Both must agree whether it may be done, and do it."""
        now = NOW + timedelta(minutes=self.order.version)
        decision: Decision[LaterEvent] | None = None
        with contextlib.suppress(RuleViolated):
            decision = decide(self.order, command, now)
        assert (decision is not None) == self.model.allows(command)
        if decision is not None:
            self.model.do(command)
        if decision is not None and not changes_nothing(self.order, decision):
            self.order = decision.order
            self.events.append(decision.event)
            described = ContractRepresentation(900_000).describe(CALL, UUID(int=1), decision, 3)
            assert len(described.payload + described.personal) < room_needed(self.order, every_movement=True)

    def name(self, chosen: str) -> str:
        """An id for a movement: the chosen one, or one that is new."""
        return chosen or f"new-{len(self.events)}"

    @rule(name=IDS, amount=AMOUNTS, currency=CURRENCIES)
    def receive(self, name: str, amount: int, currency: str) -> None:
        self.ask(pay(Money(currency, amount), self.name(name)))

    @rule(name=IDS, more=st.sampled_from([0, 0, 0, -1, 1]))
    def receive_the_rest(self, name: str, more: int) -> None:
        self.ask(pay(Money("EUR", self.model.kept - self.model.balance + more), self.name(name)))

    @rule(name=IDS, items=ITEMS)
    def ship(self, name: str, items: list[tuple[int, int]]) -> None:
        self.ask(ship(*items, shipment_id=self.name(name)))

    @precondition(lambda self: self.model.state == "PAID")
    @rule(choice=st.randoms(use_true_random=False))
    def ship_some(self, choice: random.Random) -> None:
        self.ask(ship(*self.some(OPEN, choice), shipment_id=self.name("")))

    @rule(name=IDS)
    def deliver(self, name: str) -> None:
        self.ask(deliver(self.name(name)))

    @precondition(lambda self: self.model.count(UNDER_WAY))
    @rule()
    def deliver_what_is_under_way(self) -> None:
        self.ask(deliver(next(piece.shipment for piece in self.model.all() if piece.where == UNDER_WAY)))

    @rule(items=ITEMS)
    def cancel(self, items: list[tuple[int, int]]) -> None:
        self.ask(cancel(*items))

    @rule(name=IDS, items=ITEMS)
    def take_back(self, name: str, items: list[tuple[int, int]]) -> None:
        self.ask(take_back(*items, return_id=self.name(name)))

    @precondition(lambda self: self.model.count(ARRIVED))
    @rule(choice=st.randoms(use_true_random=False))
    def take_back_some(self, choice: random.Random) -> None:
        self.ask(take_back(*self.some(ARRIVED, choice), return_id=self.name("")))

    def some(self, where: str, choice: random.Random) -> list[tuple[int, int]]:
        """Some of the pieces that are there, as (line, pieces)."""
        there = {
            number: sum(piece.where == where for piece in line.pieces) for number, line in self.model.lines.items()
        }
        everything = choice.random() < 0.5
        return [
            (number, pieces if everything else choice.randint(1, pieces)) for number, pieces in there.items() if pieces
        ]

    @rule(name=IDS, amount=AMOUNTS, currency=CURRENCIES)
    def pay_back(self, name: str, amount: int, currency: str) -> None:
        self.ask(refund(Money(currency, amount), self.name(name)))

    @precondition(lambda self: self.model.due)
    @rule(name=IDS, less=st.integers(-1, 1))
    def pay_back_what_is_due(self, name: str, less: int) -> None:
        self.ask(refund(Money("EUR", self.model.due - less), self.name(name)))

    @rule(lines=st.lists(LINES, max_size=3), freight=st.none() | st.integers(0, 500))
    def revise(self, lines: list[NewLine], freight: int | None) -> None:
        self.ask(revise(*lines, freight=None if freight is None else Money("EUR", freight)))

    @rule(command=st.sampled_from([HOLD, RELEASE]))
    def hold_or_release(self, command: OrderChange) -> None:
        self.ask(command)

    @rule(region=st.sampled_from(["DE", "FR"]))
    def move(self, region: str) -> None:
        self.ask(move_to(region))

    @rule(
        value=st.sampled_from(["", "x", "ü" * 256]),
        removed=st.sampled_from([(), ("a",), ("b", "never")]),
        note=st.none() | st.sampled_from(["", "n"]),
    )
    def label(self, value: str, removed: tuple[str, ...], note: str | None) -> None:
        self.ask(label(removed=removed, note=note, **({"c" if removed else "a": value} if value else {})))

    @invariant()
    def both_tell_the_same(self) -> None:
        order, model = self.order, self.model
        assert (order.state, order.payment_state, order.fulfillment_state) == (
            model.state,
            model.payment_state,
            model.fulfillment_state,
        )
        assert (order.total, order.amounts.refund_due) == (model.total, model.due)
        assert (order.on_hold, order.shipping_address) == (model.held, model.address)
        assert (dict(order.labels), order.note) == (model.labels, model.note)

    @invariant()
    def no_money_is_lost(self) -> None:
        amounts = self.order.amounts
        money = sum(self.model.money_in.values()), sum(self.model.money_out.values())
        assert (amounts.paid, amounts.refunded) == money
        assert 0 <= amounts.refund_due <= amounts.paid - amounts.refunded
        assert amounts.paid - amounts.refunded - amounts.refund_due <= amounts.kept <= self.order.total

    @invariant()
    def no_piece_is_lost(self) -> None:
        assert [line.line_number for line in self.order.lines] == list(self.model.lines)
        for line, told in zip(self.order.lines, self.model.lines.values(), strict=True):
            where = [piece.where for piece in told.pieces]
            assert (line.open_quantity, line.cancelled_quantity) == (where.count(OPEN), where.count(CANCELLED))
            assert line.returned_quantity == where.count(BACK)
            assert line.delivered_quantity - line.returned_quantity == where.count(ARRIVED)
            assert line.shipped_quantity - line.delivered_quantity == where.count(UNDER_WAY)

    @invariant()
    def versions_have_no_gap(self) -> None:
        assert self.order.version == self.model.version == 1 + len(self.events)

    def teardown(self) -> None:
        """In the end the events alone tell all."""
        told = self.first
        for event in self.events:
            told = evolve(told, event)
        assert told == self.order


EXAMPLES = 150


def check(machine: type[Orders], examples: int, phases: Collection[Phase] = tuple(Phase)) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=slow,
            print_blob=True,
        ),
    )


def test_any_sequence_of_commands() -> None:
    check(Orders, EXAMPLES)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_ten_thousand_sequences_of_commands() -> None:
    check(Orders, 10_000)


class KeepsReturns(ModelOrder):
    """A mutant: nothing is due back for what came back."""

    @property
    def kept(self) -> int:
        return self.total


class ForgetsHolds(ModelOrder):
    """A mutant: a hold blocks nothing."""

    def allows(self, command: OrderChange) -> bool:
        return super().allows(command) if isinstance(command, HoldOrder | ReleaseOrder) else self._released(command)

    def _released(self, command: OrderChange) -> bool:
        held, self.held = self.held, False
        allowed = super().allows(command)
        self.held = held
        return allowed


class ChargesFreightAlways(ModelOrder):
    """A mutant: the freight of an order that was given up is charged all the same."""

    def cost(self, *wanted: str) -> int:
        return super().cost(*wanted) + (self.freight if self.given_up else 0)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [KeepsReturns, ForgetsHolds, ChargesFreightAlways])
def test_a_difference_is_found(mutant: type[ModelOrder]) -> None:
    class Mutated(Orders):
        @initialize(lines=st.lists(EURO_LINES, min_size=1, max_size=3), freight=st.integers(0, 500))
        def place(self, lines: list[NewLine], freight: int) -> None:
            super().place(lines, freight)
            self.model.__class__ = mutant

    with pytest.raises(AssertionError):
        check(Mutated, 20 * EXAMPLES, [Phase.generate])  # it ends with the first difference
