"""Every pair of reachable state and command has an outcome stated here: an event and the states after it, or a rule.

Orders are explored from all their beginnings, command by command, until nothing new is found. In each order each
command must do what the table says, and each line of the table must have been seen: neither can have a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import get_args

import pytest

from command_service.domain.commands import (
    ChangeShippingAddress,
    Command,
    ImportedPayment,
    ImportOrder,
    PlaceOrder,
    RedactOrder,
)
from command_service.domain.decision import changes_nothing
from command_service.domain.errors import RuleViolated
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.order import Order
from command_service.domain.states import OrderState
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    RELEASE,
    cancel,
    decision,
    deliver,
    euros,
    label,
    move_to,
    new_line,
    pay,
    place_order,
    refund,
    revise,
    ship,
    take_back,
)
from tests.support.commands.situations import (
    Situation,
    always,
    arrived,
    at_home,
    below_paid,
    held,
    money_due,
    redacted,
    same_address,
    same_terms,
    shipped_from,
    under_way,
)

#: What comes of a command that asks for what the order already is: an answer, and no event.
NOTHING_NEW = "nothing new"
P, PAID, S, D, R, C, F = OrderState  # PLACED, PAID, SHIPPED, DELIVERED, RETURNED, CANCELLED, REFUNDED


@dataclass(frozen=True)
class Outcome:
    """In this situation: the event, and the states that can follow; or the rule that refuses; or NOTHING_NEW."""

    situation: Situation
    name: str
    states: frozenset[OrderState] = frozenset()


def when(situation: Situation, name: str, *states: OrderState) -> Outcome:
    return Outcome(situation, name, frozenset(states))


def event(name: str, *states: OrderState) -> tuple[Outcome]:
    return (when(always, name, *states),)


def rule(name: str) -> tuple[Outcome]:
    return (when(always, name),)


#: The first whose situation it is.
Cell = tuple[Outcome, ...]
#: What no decision is asked about: test_order_changes of the integration tests holds these cells.
TAKEN = rule("order-id-taken")
NOT_FOUND = rule("not found")
GIVEN_UP = rule("order-cancelled")
NONE_LEFT = rule("open-pieces-only")
REFUND = (when(money_due, "ORDER_REFUNDED"), when(always, "refund-at-most-due"))
RELEASED = (when(held, "ORDER_RELEASED"), when(always, "release-held-only"))
HELD = (when(held, "hold-once"), when(always, "ORDER_HELD"))
RETURN = (when(at_home, "ORDER_RETURNED"), when(always, "return-delivered-only"))
DELIVERY = (when(under_way, "ORDER_DELIVERED"), when(arrived, "delivered-once"), when(always, "shipment-unknown"))
NOT_LABELLED, NOT_MOVED = when(redacted, "label-unredacted-only"), when(redacted, "address-unredacted-only")
REDACTION = (when(redacted, NOTHING_NEW), when(always, "ORDER_REDACTED"))
LABELLED = (NOT_LABELLED, when(lambda order, _: bool(order.labels), NOTHING_NEW), when(always, "ORDER_LABELLED"))
MOVE = (
    NOT_MOVED,
    when(shipped_from, "address-until-shipped"),
    when(same_address, NOTHING_NEW),
    when(always, "ORDER_SHIPPING_ADDRESS_CHANGED"),
)


def staying(cell: Cell, *states: OrderState) -> Cell:
    """The cell with the states that can follow its events."""
    return tuple(replace(each, states=frozenset(states)) if each.name.isupper() else each for each in cell)


TABLE: Mapping[str, Mapping[OrderState | None, Cell]] = {
    "PlaceOrder": {None: event("ORDER_CREATED", P, PAID), **dict.fromkeys(OrderState, TAKEN)},
    "ImportOrder": {None: event("ORDER_IMPORTED", P, PAID, S, D), **dict.fromkeys(OrderState, TAKEN)},
    "ReviseOrder": {
        None: NOT_FOUND,
        P: (
            when(shipped_from, "revise-unshipped-only"),
            when(below_paid, "revise-not-below-paid"),
            when(same_terms, NOTHING_NEW),
            when(always, "ORDER_REVISED", P, PAID),
        ),
        PAID: (when(shipped_from, "revise-unshipped-only"), when(always, "revise-unpaid-only")),
        **dict.fromkeys((S, D, R), rule("revise-unshipped-only")),
        **dict.fromkeys((C, F), GIVEN_UP),
    },
    "ChangeShippingAddress": {
        None: NOT_FOUND,
        P: staying(MOVE, P),
        PAID: staying(MOVE, PAID),
        **dict.fromkeys((S, D, R), (NOT_MOVED, *rule("address-until-shipped"))),
        **dict.fromkeys((C, F), (NOT_MOVED, *GIVEN_UP)),
    },
    "RecordPayment": {
        None: NOT_FOUND,
        P: event("ORDER_PAID", P, PAID),
        PAID: event("ORDER_PAID", PAID),
        S: event("ORDER_PAID", S),
        D: event("ORDER_PAID", D),
        R: event("ORDER_PAID", R),
        C: event("ORDER_PAID", C),
        F: event("ORDER_PAID", C),  # it may not be kept: the order is no longer refunded in full
    },
    "ShipOrder": {
        None: NOT_FOUND,
        P: (when(held, "ship-not-on-hold"), when(always, "ship-paid-only")),
        PAID: (when(held, "ship-not-on-hold"), when(always, "ORDER_SHIPPED", PAID, S)),
        **dict.fromkeys((S, D, R), NONE_LEFT),
        **dict.fromkeys((C, F), GIVEN_UP),
    },
    "RecordDelivery": {
        None: NOT_FOUND,
        P: staying(DELIVERY, P),
        PAID: staying(DELIVERY, PAID),
        S: (when(always, "ORDER_DELIVERED", S, D),),
        **dict.fromkeys((D, R), rule("delivered-once")),
        **dict.fromkeys((C, F), rule("shipment-unknown")),
    },
    "CancelOrder": {
        None: NOT_FOUND,
        P: event("ORDER_CANCELLED", P, PAID, S, D, R, C),
        PAID: event("ORDER_CANCELLED", PAID, S, D, R, C, F),  # F: it cost nothing, and what was paid went back
        **dict.fromkeys((S, D, R), NONE_LEFT),
        **dict.fromkeys((C, F), GIVEN_UP),
    },
    "ReturnItems": {
        None: NOT_FOUND,
        P: staying(RETURN, P, PAID),  # what came back need not be paid
        PAID: staying(RETURN, PAID),
        S: staying(RETURN, S),
        D: event("ORDER_RETURNED", D, R),
        **dict.fromkeys((R, C, F), rule("return-delivered-only")),
    },
    "RefundOrder": {
        None: NOT_FOUND,
        P: rule("refund-at-most-due"),
        PAID: staying(REFUND, PAID),
        S: staying(REFUND, S),
        D: staying(REFUND, D),
        R: staying(REFUND, R),
        C: staying(REFUND, C, F),
        F: rule("refund-at-most-due"),
    },
    "HoldOrder": {
        None: NOT_FOUND,
        P: staying(HELD, P),
        PAID: staying(HELD, PAID),
        **dict.fromkeys((S, D, R, C, F), rule("hold-open-only")),
    },
    "LabelOrder": {None: NOT_FOUND, **{state: staying(LABELLED, state) for state in OrderState}},
    "RedactOrder": {None: NOT_FOUND, **{state: staying(REDACTION, state) for state in OrderState}},
    "ReleaseOrder": {None: NOT_FOUND, **{state: staying(RELEASED, state) for state in OrderState}},
}

MAX_PAYMENTS, MAX_REVISIONS, MAX_VERSION = 3, 1, 14
LINE = new_line(unit_price=euros(10), quantity=2, discount_basis_points=0, tax_rate_basis_points=0)
FREIGHT, PART_PAID = 3, 13
LABEL = label(a="b", note="n")
LATER = NOW + timedelta(minutes=1)


def small_order(**changes: object) -> PlaceOrder:
    return place_order(lines=(LINE,), freight=euros(FREIGHT), **changes)


def beginnings() -> Iterator[Command]:
    """Orders placed, free ones, and imported ones in conditions that only an import can give them."""
    yield small_order()
    yield place_order(lines=(replace(LINE, unit_price=euros(0)),), freight=None)
    for paid in (0, PART_PAID, 23, 30):
        payments = (ImportedPayment("I", euros(paid), "card", "", NOW),) if paid else ()
        for pieces in (0, 1, 2):
            for delivered_at in (None, NOW):
                for on_hold in (False, True):
                    shipment = Shipment("I", (LineQuantity(1, pieces),), "", "", NOW, delivered_at)
                    shipments = (shipment,) if pieces else ()
                    yield ImportOrder(small_order(), NOW, payments, shipments, on_hold)


def commands(order: Order) -> Iterator[tuple[str, Command]]:
    """Every command in the forms that matter. Ids of movements are new ones."""
    n = str(order.version)
    line = order.lines[0].line_number
    for total in (PART_PAID - 1, PART_PAID, 60):
        yield "ReviseOrder", revise(replace(LINE, unit_price=euros(total - FREIGHT), quantity=1))
    yield "ChangeShippingAddress", move_to("FR")
    yield "ChangeShippingAddress", ChangeShippingAddress(order.order_id, order.shipping_address)
    for amount in (1, max(1, order.total - order.amounts.paid)):
        yield "RecordPayment", pay(euros(amount), f"P{n}")
    for items in ((), ((line, 1),)):
        yield "ShipOrder", ship(*items, shipment_id=f"S{n}")
        yield "CancelOrder", cancel(*items)
    open_first = sorted(order.shipments, key=lambda shipment: shipment.delivered_at is not None)
    yield "RecordDelivery", deliver(open_first[0].shipment_id if open_first else "none")
    yield "ReturnItems", take_back((line, 1), return_id=f"R{n}")
    for amount in {1, max(1, order.amounts.refund_due)}:
        yield "RefundOrder", refund(euros(amount), f"F{n}")
    yield "HoldOrder", HOLD
    yield "ReleaseOrder", RELEASE
    yield "LabelOrder", LABEL
    yield "RedactOrder", RedactOrder(order.order_id)


def essence(order: Order) -> tuple[object, ...]:
    """What of an order decides about its future: no ids, no times, no addresses."""
    return (
        tuple(replace(line, line_number=1) for line in order.lines),
        (order.freight, order.amounts.paid, order.amounts.refunded, order.on_hold),
        tuple((shipment.items[0].quantity, shipment.delivered_at is None) for shipment in order.shipments),
    )


def bounded(order: Order) -> bool:
    revisions = max(line.line_number for line in order.lines)
    return len(order.payments) <= MAX_PAYMENTS and revisions <= 1 + MAX_REVISIONS and order.version <= MAX_VERSION


@dataclass(frozen=True)
class Tried:
    """A command tried in a state, and what came of it."""

    name: str
    command: Command
    before: Order | None
    came: str
    after: OrderState | None = None

    @property
    def cell(self) -> tuple[str, OrderState | None]:
        return self.name, None if self.before is None else self.before.state


def attempt(state: Order | None, name: str, command: Command) -> tuple[Tried, Order | None]:
    try:
        made = decision(state, command, LATER)
    except RuleViolated as refused:
        return Tried(name, command, state, refused.rule.id), None
    if state is not None and changes_nothing(state, made):
        return Tried(name, command, state, NOTHING_NEW), None
    return Tried(name, command, state, made.event.event_type, made.order.state), made.order


def explore() -> list[Tried]:
    """Everything that can be tried, breadth first."""
    tried, seen, frontier = [], set[object](), list[Order]()

    def found(order: Order | None) -> None:
        if order is not None and bounded(order) and essence(order) not in seen:
            seen.add(essence(order))
            frontier.append(order)

    for beginning in beginnings():
        each, order = attempt(None, type(beginning).__name__, beginning)
        tried.append(each)
        found(order)
    while frontier:
        order = frontier.pop(0)
        for name, command in commands(order):
            each, after = attempt(order, name, command)
            tried.append(each)
            if name == "LabelOrder":
                # What a label changes does not decide about other commands, so nothing more is explored.
                if after is not None:
                    tried.append(attempt(after, name, command)[0])
                continue
            if name != "RedactOrder":
                found(after)
                continue
            # What a redaction changes decides about these alone. All others come out as for the order before it.
            assert after is not None
            for other, next_command in commands(order):
                again, _ = attempt(after, other, next_command)
                if other in ("LabelOrder", "ChangeShippingAddress", "RedactOrder"):
                    tried.append(again)
                else:
                    assert again.came == attempt(order, other, next_command)[0].came, other
    return tried


@pytest.fixture(scope="module")
def everything() -> list[Tried]:
    return explore()


def stated(tried: Tried) -> Outcome:
    """What the table says must come of it."""
    name, state = tried.cell
    cell = TABLE[name][state]
    if tried.before is None:
        return cell[0]
    return next(outcome for outcome in cell if outcome.situation(tried.before, tried.command))


def test_the_table_has_a_cell_for_every_command_and_state() -> None:
    kinds = {kind.__name__ for kind in get_args(Command)}
    assert set(TABLE) == kinds
    for row in TABLE.values():
        assert set(row) == {None, *OrderState}


def test_every_pair_of_reachable_state_and_command_comes_out_as_stated(everything: list[Tried]) -> None:
    wrong = {(*tried.cell, tried.came) for tried in everything if tried.came != stated(tried).name}
    assert wrong == set()


def test_each_event_leads_to_the_stated_states_and_to_each_of_them(everything: list[Tried]) -> None:
    led: dict[tuple[object, ...], set[OrderState]] = defaultdict(set)
    expected: dict[tuple[object, ...], frozenset[OrderState]] = {}
    for tried in everything:
        if tried.after is not None:
            led[tried.cell].add(tried.after)
            expected[tried.cell] = stated(tried).states
    assert led == {cell: set(states) for cell, states in expected.items()}


def test_every_outcome_of_the_table_is_reached(everything: list[Tried]) -> None:
    reached = {(*tried.cell, stated(tried).name) for tried in everything}
    listed = {
        (command, state, outcome.name)
        for command, row in TABLE.items()
        for state, cell in row.items()
        for outcome in cell
        if cell not in (TAKEN, NOT_FOUND)
    }
    assert listed - reached == set()
    assert {tried.cell[1] for tried in everything} == {None, *OrderState}
