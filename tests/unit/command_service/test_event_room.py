"""What has happened can always be recorded: the largest order that is accepted, and everything that may befall it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.json_format import ParseDict
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderResponse
from tandem.orders.v1.order_types_pb2 import OmittedMovements
from tandem.orders.v1.order_types_pb2 import Order as OrderMessage

from command_service.application.command_call import CommandCall
from command_service.application.errors import OrderTooLarge
from command_service.application.event_record import EventRecord
from command_service.application.ports import FirstCall, Recorded, StoredOrder
from command_service.application.recording import Recorder
from command_service.domain import rules
from command_service.domain.commands import Command, ImportedPayment, ImportOrder, LabelOrder, NewLine, PlaceOrder
from command_service.domain.errors import RuleViolated
from command_service.domain.events import OrderImported, OrderPaid, OrderShipped
from command_service.domain.labels import Labels
from command_service.domain.movements import LineQuantity, Shipment
from command_service.domain.order import Order
from command_service.domain.parties import Address, Customer
from command_service.wire import event_room, json_sizes
from command_service.wire import representation as wire
from command_service.wire.event_room import Omitted, omitted_from, room_needed
from command_service.wire.representation import ContractRepresentation
from tests.support.commands.domain_orders import (
    HOLD,
    NOW,
    ORDER_ID,
    RELEASE,
    after,
    cancel,
    decision,
    deliver,
    euros,
    full_order,
    label,
    move_to,
    new_line,
    pay,
    place_order,
    placed,
    refund,
    revise,
    ship,
    take_back,
)
from tests.support.source_mutants import Mutant, noticed

LIMIT = 900_000
#: Room for few lines: what is true of these is true of many, and takes a tenth of the time.
SMALL = 120_000
#: Characters by what they take in JSON: four bytes, three, two (escaped), one.
CHARACTERS = ("🍵", "語", '"', "x")
#: So often is recorded what takes as much room as a line of each kind, and what takes little.
FEW, MANY = 3, 8


def fixed_identity() -> tuple[UUID, bytes]:
    """For events that need not be told apart."""
    return UUID("018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b"), b"s" * 16


class Life:
    """One order and what is recorded of it, as the service does it; `character` fills every text to its end."""

    def __init__(self, character: str, limit: int = LIMIT) -> None:
        self.character, self.limit = character, limit
        self.recorder = Recorder(ContractRepresentation(limit), fixed_identity)
        self.stored: StoredOrder | None = None
        self.message = OrderMessage()

    @property
    def order(self) -> Order | None:
        """The order as it is now."""
        return None if self.stored is None else self.stored.order

    def text(self, length: int, end: str = "") -> str:
        return self.character * (length - len(end)) + end

    def command(self, command: Command, *, reason: bool = True) -> EventRecord:
        """Decides, records and applies; raises what refuses it."""
        call = CommandCall("p" * 2_000, uuid4(), b"", self.text(500) if reason else "", "00-" + "a" * 51)
        made = decision(self.order, command)
        recorded = self.recorder.record(call, FirstCall(NOW, 2**50), self.stored, made)
        assert isinstance(recorded, Recorded)
        record = recorded.event
        size = len((record.link.payload + record.personal + record.link.headers).encode())
        assert size <= self.limit
        self.stored = StoredOrder(recorded.after, record.hash, NOW)
        published = json.loads(record.link.payload)["order"]
        if isinstance(made.event, OrderImported):  # it is answered without the order
            self.message = ParseDict(published, OrderMessage())
        else:
            self.message = PlaceOrderResponse.FromString(recorded.response).order
        self.check(published, self.message)
        return record

    def check(self, published: dict[str, Any], answered: OrderMessage) -> None:
        """Event and answer list the same movements: all of them but the oldest, which are counted."""
        assert self.order is not None
        for name in ("payments", "shipments", "returns", "refunds"):
            key = "return_id" if name == "returns" else f"{name[:-1]}_id"
            omitted = getattr(answered.omitted, name)
            wanted = [getattr(movement, key) for movement in getattr(self.order, name)[omitted:]]
            assert [getattr(movement, key) for movement in getattr(answered, name)] == wanted
            assert len(published.get(name, [])) == len(wanted)
            assert published.get("omitted", {}).get(name, 0) == omitted
            assert bool(wanted) == bool(getattr(self.order, name))

    def asked(self, lines: int, address_lines: int) -> PlaceOrder:
        """A new order, each of its texts as long as the request rules allow."""
        text = self.text
        address = Address(
            "DE", "d" * 35, text(20), text(40), text(100), text(100), text(100),
            (text(200),) * address_lines, (text(200),) * address_lines, text(200),
        )  # fmt: skip
        return PlaceOrder(
            order_id=ORDER_ID,
            customer=Customer(text(64), text(200), text(254), text(40)),
            shipping_address=address,
            billing_address=address,
            lines=tuple(
                NewLine(text(64, f"{n}"), text(200), euros(800_001), rules.MAX_QUANTITY, 1, 9_999) for n in range(lines)
            ),
            freight=euros(7_77),
            source=text(64),
            order_number=text(64),
            labels=Labels({f"key{n}": text(256) for n in range(2)}),
            note=text(2_000),
        )

    def place_the_largest(self, address_lines: int) -> int:
        """Places the order with as many lines as are accepted; their count."""
        fits, most, tried = 0, rules.MAX_LINES, rules.MAX_LINES
        while fits < most:
            try:
                Life(self.character, self.limit).command(self.asked(tried, address_lines))
                fits = tried
            except RuleViolated:
                most = tried - 1
            tried = (fits + most + 1) // 2
        self.command(self.asked(fits, address_lines))
        return fits

    def live(self, many: int = MANY) -> None:
        """Everything that may be recorded, one after the other."""
        for command in self.everything(many):
            self.command(command)

    def everything(self, many: int) -> Iterator[Command]:
        """Whatever may be recorded of the order, more often than there is room for."""
        assert self.order is not None
        lines, text = len(self.order.lines), self.text
        every_line = [(n, 1) for n in range(1, lines + 1)]

        def payment(n: int, amount: int = 1) -> Command:
            money = replace(pay(euros(amount)), payment_id=text(64, f"{n}"))
            return replace(money, method=text(40), reference=text(200))

        def shipment(n: int) -> Command:
            return ship(*every_line, shipment_id=text(64, f"{n}"), carrier=text(100), tracking_number=text(100))

        yield from (payment(n) for n in range(many))
        yield HOLD
        yield RELEASE
        yield payment(many, self.order.total)
        yield from (shipment(n) for n in range(FEW))
        yield from (payment(n) for n in range(many + 1, 2 * many))
        yield from (deliver(text(64, f"{n}")) for n in range(FEW))
        yield from (take_back(*every_line, return_id=text(64, f"{n}")) for n in range(FEW))
        yield from (replace(refund(euros(1), text(64, f"{n}")), reference=text(200)) for n in range(many))
        yield cancel(*((n, 7) for n in range(1, lines + 1)))
        yield HOLD
        yield RELEASE
        yield cancel()


def test_whatever_happens_to_the_largest_order_is_recorded() -> None:
    life = Life("🍵")
    assert life.place_the_largest(1) == rules.MAX_LINES
    life.live(many=12)
    assert life.message.HasField("omitted")


@pytest.mark.parametrize("address_lines", [1, 10])
@pytest.mark.parametrize("character", CHARACTERS)
def test_whatever_happens_to_an_order_that_just_fits_is_recorded(character: str, address_lines: int) -> None:
    life = Life(character, SMALL)
    assert 20 < life.place_the_largest(address_lines) < 200
    life.live()
    assert life.message.HasField("omitted")


def test_money_can_be_recorded_without_end() -> None:
    life = Life("🍵", 42_000)
    life.place_the_largest(0)
    for n in range(300):
        life.command(pay(euros(1), life.text(64, f"{n}")))
    assert life.message.paid_total.units == 3
    assert life.message.omitted.payments + len(life.message.payments) == 300


def test_an_ordinary_order_lists_everything() -> None:
    life = Life("x")
    life.command(place_order())
    for n in range(100):
        life.command(replace(pay(euros(1), f"P{n}"), reference="r" * 200))
    assert len(life.message.payments) == 100
    assert not life.message.HasField("omitted")


def test_the_list_that_takes_most_gives_up_its_oldest_first() -> None:
    order = after(placed(), pay(euros(1_000_00), "P"), ship((1, 1)))
    (shipped,) = order.shipments
    crowded = replace(order, payments=order.payments * 5_000, shipments=(shipped,) * 3)
    omitted = omitted_from(crowded, 100_000)
    assert omitted.shipments == 0
    assert 4_000 < omitted.payments < 5_000
    assert omitted_from(crowded, 10) == Omitted(payments=4_999, shipments=2)


def test_all_that_an_import_brings_must_fit() -> None:
    """No other event has it."""
    life = Life("🍵", 140_000)
    payments = [ImportedPayment(life.text(64, f"{n}"), euros(1), "card", life.text(200), NOW) for n in range(200)]
    shipment = Shipment("S", (LineQuantity(1, 1),), "", "", NOW)
    imported = ImportOrder(place_order(), NOW - timedelta(days=1), tuple(payments), (shipment,))
    with pytest.raises(RuleViolated) as refused:
        life.command(imported)
    assert refused.value.rule is rules.ORDER_SIZE
    life.command(replace(imported, payments=tuple(payments[:100])))
    assert not life.message.HasField("omitted")
    for n in range(40):
        life.command(replace(pay(euros(1), life.text(64, f"L{n}")), reference=life.text(200)))
    assert life.message.omitted.payments > 0


def test_a_revision_that_does_not_fit_is_refused_and_a_smaller_one_is_not() -> None:
    life = Life("🍵")
    life.place_the_largest(1)
    lines = life.asked(rules.MAX_LINES, 1).lines
    dearer = replace(lines[0], unit_price=euros(900_000))
    record = life.command(revise(dearer, *lines[1:]))
    (previous,) = json.loads(record.link.payload)["orderRevised"]["previousLines"]
    assert previous["unitPrice"]["units"] == "8000"
    line = new_line(product_name=life.text(200), unit_price=euros(10**9))
    with pytest.raises(RuleViolated) as refused:
        life.command(revise(*(replace(line, sku=life.text(64, f"new{n}")) for n in range(500))))
    assert refused.value.rule is rules.ORDER_SIZE
    assert "fewer lines" in str(refused.value)
    life.command(revise(line))
    life.command(move_to("FR"))


def test_an_address_that_leaves_no_room_is_refused() -> None:
    life = Life("🍵", SMALL)
    life.place_the_largest(0)
    assert life.order is not None
    longer = replace(life.order.shipping_address, address_lines=(life.text(200),) * 10)
    with pytest.raises(RuleViolated) as refused:
        life.command(replace(move_to("DE"), shipping_address=longer))
    assert refused.value.rule is rules.ORDER_SIZE
    life.command(move_to("DE"))


def test_labels_that_leave_no_room_are_refused() -> None:
    life = Life("🍵", SMALL)
    life.place_the_largest(0)
    with pytest.raises(RuleViolated) as refused:
        life.command(LabelOrder(ORDER_ID, Labels({f"more{n}": life.text(256) for n in range(30)})))
    assert refused.value.rule is rules.ORDER_SIZE
    assert life.order is not None
    assert len(life.order.labels) == 2
    life.command(label(removed=("key0",), note="short"))
    life.live()


def test_old_values_take_the_place_of_old_movements() -> None:
    life = Life("🍵", SMALL)
    life.command(life.asked(5, 10))
    for n in range(80):
        life.command(replace(pay(euros(1), life.text(64, f"{n}")), reference=life.text(200)))
    listed = len(life.message.payments)
    assert listed < 80
    line = replace(life.asked(1, 0).lines[0], sku="S")
    life.command(revise(*(replace(line, sku=f"S{n}") for n in range(10))))
    assert len(life.message.payments) < listed
    life.command(move_to("FR"))
    assert len(life.message.payments) < 80


def test_an_order_accepted_under_a_higher_limit_names_the_setting() -> None:
    life = Life("🍵", SMALL)
    life.place_the_largest(1)
    life.recorder = Recorder(ContractRepresentation(SMALL // 2), fixed_identity)
    with pytest.raises(OrderTooLarge, match="COMMAND_MAX_EVENT_BYTES"):
        life.command(pay(euros(1)))


@pytest.mark.mutant
def test_without_room_kept_something_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_room, "room_needed", lambda order, *, every_movement: 0)
    life = Life("🍵", SMALL)
    life.place_the_largest(10)
    with pytest.raises(OrderTooLarge):
        life.live()


@pytest.mark.mutant
def test_without_leaving_out_the_oldest_money_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "omitted_from", lambda order, limit: Omitted())
    life = Life("🍵", SMALL)
    life.place_the_largest(1)
    with pytest.raises(OrderTooLarge):
        life.live()


def test_only_what_callers_choose_is_ever_refused_for_its_size() -> None:
    assert not {OrderPaid, OrderShipped} & set(event_room.CHOSEN)
    assert list(OmittedMovements.DESCRIPTOR.fields_by_name) == list(Omitted.__dataclass_fields__)
    order = placed()
    assert room_needed(order, every_movement=True) == room_needed(order, every_movement=False)


#: As long in every order.
FIXED = ("currency", "region_code")
LONGER = "語" * 100


def with_a_longer_text(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Copies of a value, each with another one of the texts in it longer, and which one that is."""
    if isinstance(value, str):
        yield path, value + LONGER
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            for where, longer in with_a_longer_text(item, path):
                yield where, (*value[:place], longer, *value[place + 1 :])
    elif isinstance(value, Labels):
        yield f"{path}.value", Labels({key: text + LONGER for key, text in value.items()})
        yield f"{path}.key", Labels({key + LONGER: text for key, text in value.items()})
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.name not in FIXED:
                for where, longer in with_a_longer_text(getattr(value, field.name), f"{path}.{field.name}"):
                    yield where, replace(value, **{field.name: longer})


def check_every_text_is_counted() -> None:
    order = full_order()
    room = room_needed(order, every_movement=True)
    texts = dict(with_a_longer_text(order))
    assert {
        ".labels.key",
        ".labels.value",
        ".note",
        ".order_number",
        ".customer.phone",
        ".shipping_address.sorting_code",
        ".payments.reference",
    } <= texts.keys()
    for path, longer in texts.items():
        assert room_needed(longer, every_movement=True) >= room + len(LONGER.encode()), path


def test_every_text_of_an_order_is_counted() -> None:
    check_every_text_is_counted()


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(json_sizes.without_movements, "_contact(customer)", "()"),
        Mutant(json_sizes.without_movements, "order.source", '""'),
        Mutant(json_sizes.address_size, "_free_texts(address)", "()"),
        Mutant(json_sizes.without_movements, "labels_size(order.labels)", "0"),
        Mutant(json_sizes.without_movements, "note_size(order.note)", "0"),
        Mutant(json_sizes.line_size, "line.product_name", '""'),
    ],
)
def test_a_text_that_is_not_counted_is_noticed(mutant: Mutant) -> None:
    with noticed(mutant):
        check_every_text_is_counted()
