"""The life of an order over gRPC: each command does what it says, once; every refusal is named and leaves no trace."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.consistency_token import decode
from tandem.orders.errors import OrderError, VersionMismatch, from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_types_pb2 import LineQuantity, Order

from tests.fixtures.command_process import CommandProcess, caller, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import migrated_database, table_digests
from tests.support.commands.journal import journal_faults
from tests.support.commands.orders import money, place_order_request
from tests.support.commands.wrong_requests import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    NOT_UUIDS,
    Cases,
    address,
    amounts,
    identifiers,
    labels,
    numbers,
    put,
    texts,
)

FRANCE = PostalAddress(region_code="FR")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
#: Any command that changes an order, by its name without `Request`.
Call = tuple[str, Mapping[str, Any]]


def moment(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def items(line: int, quantity: int) -> list[LineQuantity]:
    return [LineQuantity(line_number=line, quantity=quantity)]


def placing() -> contract.PlaceOrderRequest:
    """15 pieces: 10 at 10.00 and 5 at 1.00, 5.00 freight; 110.00 in all."""
    request = place_order_request(random.Random(), lines=2)
    for line, (sku, units, quantity) in zip(request.lines, (("A", 10, 10), ("B", 1, 5)), strict=True):
        line.sku = sku
        line.unit_price.CopyFrom(money(units * 100, "EUR"))
        line.quantity, line.discount_basis_points, line.tax_rate_basis_points = quantity, 0, 0
    request.freight.CopyFrom(money(5_00, "EUR"))
    return request


def request_of(command: str, order_id: str, **fields: Any) -> Any:
    request_id = str(uuid.uuid4())
    return getattr(contract, f"{command}Request")(request_id=request_id, order_id=order_id, **fields)


class Caller:
    """A caller of one process and its database."""

    def __init__(self, stub: Any, process: CommandProcess, url: str) -> None:
        self.stub, self.process, self.url = stub, process, url

    async def place(self) -> Order:
        return (await self.stub.PlaceOrder(placing())).order  # type: ignore[no-any-return]

    async def ask(self, command: str, order_id: str, **fields: Any) -> Any:
        return await getattr(self.stub, command)(request_of(command, order_id, **fields))

    async def refused(self, command: str, request: Any) -> OrderError:
        """The refusal of a request, which must leave no trace."""
        before = await table_digests(self.url)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await getattr(self.stub, command)(request)
        assert await table_digests(self.url) == before
        return from_rpc_error(raised.value)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(migrated_template: Templates) -> AsyncIterator[Caller]:
    async with (
        migrated_database(migrated_template) as url,
        serving(url) as process,
        caller(process) as stub,
    ):
        yield Caller(stub, process, url)


def quantities(order: Order) -> list[tuple[int, int, int, int]]:
    return [
        (line.cancelled_quantity, line.shipped_quantity, line.delivered_quantity, line.returned_quantity)
        for line in order.lines
    ]


async def test_from_placed_to_returned(shop: Caller) -> None:
    order = await shop.place()
    name = order.order_id
    held = (await shop.ask("HoldOrder", name)).order
    assert (held.on_hold, held.state) == (True, types.ORDER_STATE_PLACED)
    lines = [contract.NewOrderLine(sku="NEW", product_name="New", unit_price=money(2_00, "EUR"), quantity=50)]
    revised = (await shop.ask("ReviseOrder", name, lines=lines, expected_total=money(105_00, "EUR"))).order
    assert [(line.line_number, line.sku) for line in revised.lines] == [(3, "NEW")]
    moved = (await shop.ask("ChangeShippingAddress", name, shipping_address=PostalAddress(region_code="FR"))).order
    assert moved.shipping_address == PostalAddress(region_code="FR")
    assert moved.billing_address == order.billing_address
    early = {"amount": money(5_00, "EUR"), "method": "card", "pay_time": order.place_time}
    part = (await shop.ask("RecordPayment", name, **early)).order
    assert (part.payment_state, part.state) == (types.PAYMENT_STATE_PARTIALLY_PAID, types.ORDER_STATE_PLACED)
    assert part.payments[0].pay_time == order.place_time
    assert part.update_time == moved.update_time  # the latest change in the world, not the latest to be told
    more = {"amount": money(110_00, "EUR"), "method": "transfer", "payment_id": "P-2"}
    paid = (await shop.ask("RecordPayment", name, **more)).order
    assert (paid.state, paid.payment_state) == (types.ORDER_STATE_PAID, types.PAYMENT_STATE_REFUND_DUE)
    assert paid.refund_due == money(10_00, "EUR")
    refunded = (await shop.ask("RefundOrder", name, amount=money(10_00, "EUR"), reference="back")).order
    assert refunded.payment_state == types.PAYMENT_STATE_PARTIALLY_REFUNDED
    await shop.ask("ReleaseOrder", name)
    left = {"items": items(3, 20), "carrier": "DHL", "tracking_number": "T", "shipment_id": "S-1"}
    first = (await shop.ask("ShipOrder", name, **left)).order
    assert (first.state, first.fulfillment_state) == (
        types.ORDER_STATE_PAID,
        types.FULFILLMENT_STATE_PARTIALLY_SHIPPED,
    )
    cancelled = (await shop.ask("CancelOrder", name, items=items(3, 10))).order
    assert (cancelled.refund_due, cancelled.total) == (money(20_00, "EUR"), money(85_00, "EUR"))
    second = (await shop.ask("ShipOrder", name)).order
    assert quantities(second) == [(10, 40, 0, 0)]
    assert second.state == types.ORDER_STATE_SHIPPED
    await shop.ask("RecordDelivery", name, shipment_id="S-1")
    delivered = (await shop.ask("RecordDelivery", name, shipment_id=second.shipments[1].shipment_id)).order
    assert (delivered.state, quantities(delivered)) == (types.ORDER_STATE_DELIVERED, [(10, 40, 40, 0)])
    returned = (await shop.ask("ReturnItems", name, items=items(3, 40))).order
    assert (returned.state, returned.refund_due) == (types.ORDER_STATE_RETURNED, money(100_00, "EUR"))
    answer = await shop.ask("RefundOrder", name, amount=money(100_00, "EUR"), reason="all came back")
    assert answer.order.payment_state == types.PAYMENT_STATE_PARTIALLY_REFUNDED  # freight is kept
    assert (answer.version, answer.order.version) == (15, 15)
    (event,) = answer.events
    assert (event.event_type, event.order_version, event.reason) == ("ORDER_REFUNDED", 15, "all came back")
    assert event.order_refunded.refund.amount == money(100_00, "EUR")
    assert dict(decode(answer.consistency_token).versions) == {name: 15}
    assert await journal_faults(shop.url) == []


async def test_from_placed_to_refunded(shop: Caller) -> None:
    name = (await shop.place()).order_id
    await shop.ask("RecordPayment", name, amount=money(110_00, "EUR"), method="card")
    cancelled = await shop.ask("CancelOrder", name, reason="changed their mind")
    assert cancelled.order.state == types.ORDER_STATE_CANCELLED
    assert cancelled.events[0].order_cancelled.previous_total == money(110_00, "EUR")
    assert cancelled.events[0].order_cancelled.previous_state == types.ORDER_STATE_PAID
    assert cancelled.order.refund_due == money(110_00, "EUR")
    late = (await shop.ask("RecordPayment", name, amount=money(1, "EUR"), method="card")).order
    assert late.refund_due == money(110_01, "EUR")
    refunded = (await shop.ask("RefundOrder", name, amount=late.refund_due)).order
    assert (refunded.state, refunded.payment_state) == (types.ORDER_STATE_REFUNDED, types.PAYMENT_STATE_REFUNDED)


#: A command for every step of a life, each allowed behind the ones before.
LIFE: list[Call] = [
    ("ReviseOrder", {"lines": placing().lines}),
    ("ChangeShippingAddress", {"shipping_address": FRANCE}),
    ("HoldOrder", {}),
    ("ReleaseOrder", {}),
    ("LabelOrder", {"set_labels": {"a": "b"}, "remove_labels": ["c"], "note": "ring twice"}),
    ("RecordPayment", {"amount": money(200_00, "EUR"), "method": "card"}),
    ("RefundOrder", {"amount": money(1_00, "EUR")}),
    ("CancelOrder", {"items": [LineQuantity(line_number=2, quantity=1)]}),
    ("ShipOrder", {"shipment_id": "S"}),
    ("RecordDelivery", {"shipment_id": "S"}),
    ("ReturnItems", {"items": [LineQuantity(line_number=1, quantity=1)]}),
]


async def test_each_command_repeated_is_answered_as_the_first_time(shop: Caller) -> None:
    name = (await shop.place()).order_id
    for version, (command, fields) in enumerate(LIFE, start=1):
        request = request_of(command, name, expected_version=version, **fields)
        method = getattr(shop.stub, command)
        first = method(request)
        answer = await first
        assert ("tandem-replayed", "true") not in list(await first.trailing_metadata() or ())
        before = await table_digests(shop.url)
        again = method(request)
        assert await again == answer
        assert ("tandem-replayed", "true") in list(await again.trailing_metadata() or ())
        changed = type(request)()
        changed.CopyFrom(request)
        changed.reason = "another"
        refused = await shop.refused(command, changed)
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        assert await table_digests(shop.url) == before
    made = {method.name for method in contract.DESCRIPTOR.services_by_name["OrderCommandService"].methods}
    assert {command for command, _ in LIFE} == made - {"PlaceOrder", "ImportOrders", "RedactCustomer"}


@pytest.mark.parametrize(("command", "fields"), LIFE, ids=[command for command, _ in LIFE])
async def test_another_version_or_order_than_expected(shop: Caller, command: str, fields: Mapping[str, Any]) -> None:
    name = (await shop.place()).order_id
    await shop.ask("HoldOrder", name)
    for expected in (1, 3, MAX_INT64):
        refused = await shop.refused(command, request_of(command, name, expected_version=expected, **fields))
        assert isinstance(refused, VersionMismatch)
        assert (refused.code, refused.current_version) == (grpc.StatusCode.ABORTED, 2)
        assert refused.metadata["expected_version"] == str(expected)
    refused = await shop.refused(command, request_of(command, str(uuid.uuid4()), **fields))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND")


async def test_of_many_who_expect_the_same_version_one_is_served(shop: Caller) -> None:
    name = (await shop.place()).order_id
    fields = {"amount": money(1, "EUR"), "method": "card", "expected_version": 1}
    done = await asyncio.gather(*(shop.ask("RecordPayment", name, **fields) for _ in range(8)), return_exceptions=True)
    refused = [result for result in done if isinstance(result, grpc.aio.AioRpcError)]
    assert [from_rpc_error(each).reason for each in refused] == ["VERSION_MISMATCH"] * 7
    # Without a version all are served, whatever happens in between.
    await asyncio.gather(*(shop.ask("RecordPayment", name, amount=money(1, "EUR"), method="card") for _ in range(8)))
    assert (await shop.ask("HoldOrder", name)).version == 11


def ahead() -> Timestamp:
    return moment(datetime.now(UTC) + timedelta(minutes=6))


PAY = ("RecordPayment", {"amount": money(110_00, "EUR"), "method": "card", "payment_id": "P"})
SHIP: Call = ("ShipOrder", {"shipment_id": "S"})
FULL: Call = ("LabelOrder", {"set_labels": {f"k{n}": "" for n in range(32)}})
BROKEN: list[tuple[list[Call], str, Mapping[str, Any], str]] = [
    ([], "ReviseOrder", {"lines": placing().lines, "expected_total": money(1, "EUR")}, "expected-total"),
    ([PAY], "ReviseOrder", {"lines": placing().lines}, "revise-unpaid-only"),
    ([PAY, SHIP], "ChangeShippingAddress", {"shipping_address": FRANCE}, "address-until-shipped"),
    ([PAY], *PAY, "movement-id-taken"),
    ([], "RecordPayment", {"amount": money(1, "USD"), "method": "card"}, "one-currency"),
    ([], "RecordPayment", {"amount": money(1, "EUR"), "method": "card", "pay_time": "ahead"}, "time-in-future"),
    ([], "ShipOrder", {}, "ship-paid-only"),
    ([PAY, ("HoldOrder", {})], "ShipOrder", {}, "ship-not-on-hold"),
    ([PAY], "ShipOrder", {"items": items(1, 11)}, "open-pieces-only"),
    ([PAY], "ShipOrder", {"items": items(3, 1)}, "line-unknown"),
    ([PAY], "ShipOrder", {"items": items(1, 1) + items(1, 1)}, "line-named-once"),
    ([PAY, ("CancelOrder", {})], "ShipOrder", {}, "order-cancelled"),
    ([PAY], "RecordDelivery", {"shipment_id": "S"}, "shipment-unknown"),
    ([PAY, SHIP, ("RecordDelivery", {"shipment_id": "S"})], "RecordDelivery", {"shipment_id": "S"}, "delivered-once"),
    ([], "RecordPayment", {"amount": money(1, "EUR"), "method": "card", "pay_time": moment(YESTERDAY)}, "time-order"),
    ([PAY, SHIP], "RecordDelivery", {"shipment_id": "S", "deliver_time": moment(YESTERDAY)}, "time-order"),
    ([PAY, SHIP], "CancelOrder", {}, "open-pieces-only"),
    ([PAY, SHIP], "ReturnItems", {"items": items(1, 1)}, "return-delivered-only"),
    ([PAY], "RefundOrder", {"amount": money(1, "EUR")}, "refund-at-most-due"),
    ([("HoldOrder", {})], "HoldOrder", {}, "hold-once"),
    ([PAY, SHIP], "HoldOrder", {}, "hold-open-only"),
    ([], "ReleaseOrder", {}, "release-held-only"),
    ([FULL], "LabelOrder", {"set_labels": {"one-more": ""}}, "label-count"),
]  # fmt: skip


@pytest.mark.parametrize(("life", "command", "fields", "rule"), BROKEN, ids=[f"{b[1]}-{b[3]}" for b in BROKEN])
async def test_broken_rules(shop: Caller, life: list[Call], command: str, fields: Mapping[str, Any], rule: str) -> None:
    name = (await shop.place()).order_id
    for before, told in life:
        await shop.ask(before, name, **told)
    late = {key: ahead() if value == "ahead" else value for key, value in fields.items()}
    refused = await shop.refused(command, request_of(command, name, **late))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RULE_VIOLATED")
    assert refused.metadata["rule"] == rule
    assert refused.message


def wrong_fields(command: str) -> Cases:
    """Every field of a command wrong in many ways."""
    cases: Cases = {}
    for path in ("request_id", "order_id"):
        cases |= {f"{path}={wrong[:40]!r}": (put(path, wrong), path) for wrong in ("", *NOT_UUIDS)}
    cases |= numbers("expected_version", 0, -1, MIN_INT64) | texts("reason", 500)
    names = contract.DESCRIPTOR.message_types_by_name[f"{command}Request"].fields_by_name
    if "amount" in names:
        every = amounts("amount", required=True, zero=False)
        cases |= {name: case for name, case in every.items() if not name.endswith("foreign")}
    for name, longest in (("reference", 200), ("carrier", 100), ("tracking_number", 100)):
        cases |= (texts if name == "carrier" else identifiers)(name, longest) if name in names else {}
    cases |= identifiers("method", 40, required=True) if "method" in names else {}
    for name in ("payment_id", "shipment_id", "return_id", "refund_id"):
        cases |= identifiers(name, 64, required=command == "RecordDelivery") if name in names else {}
    for name in names:
        if name.endswith("_time"):
            for seconds in (-(10**12), MAX_INT64):
                cases[f"{name} {seconds}"] = (put(name, Timestamp(seconds=seconds)), f"{name}.seconds")
            for nanos in (-1, 10**9):
                cases[f"{name} .{nanos}"] = (put(name, Timestamp(nanos=nanos)), f"{name}.nanos")
    if "items" in names:
        cases |= {"items 501": (put("items", items(1, 1) * 501), "items")}
        for number in (0, -1, MIN_INT32):
            cases[f"line {number}"] = (put("items", items(number, 1)), "items[0].line_number")
        for quantity in (0, -1, 1_000_001, MAX_INT32, MIN_INT32):
            cases[f"quantity {quantity}"] = (put("items", items(1, quantity)), "items[0].quantity")
        if command == "ReturnItems":
            cases["no items"] = (put("items", []), "items")
    if "set_labels" in names:
        cases |= labels("set_labels") | texts("note", 2_000)
        cases["both set and removed"] = (put("remove_labels", ["a"]), "remove_labels[0]")
        cases["no key"] = (put("remove_labels", ["a b"]), "remove_labels[0]")
    if "shipping_address" in names:
        cases |= address("shipping_address") | {"no address": (put("shipping_address", None), "shipping_address")}
    if "lines" in names:
        line = placing().lines[0]
        cases |= {"no lines": (put("lines", []), "lines"), "lines 501": (put("lines", [line] * 501), "lines")}
        cases |= identifiers("lines[1].sku", 64, required=True) | numbers("lines[1].quantity", 0, -1, MAX_INT32)
        cases |= amounts("lines[1].unit_price", required=True)
        cases |= amounts("freight", required=False) | amounts("expected_total", required=False)
    tried = {field.split(".")[0].split("[")[0] for _, field in cases.values()}
    assert tried == set(names), f"not every field of {command} is tried"
    return cases


@pytest.mark.parametrize(("command", "fields"), LIFE, ids=[command for command, _ in LIFE])
async def test_every_field_wrong_in_every_way(shop: Caller, command: str, fields: Mapping[str, Any]) -> None:
    name = (await shop.place()).order_id
    before = await table_digests(shop.url)
    failures = []
    for case, (change, field) in wrong_fields(command).items():
        request = request_of(command, name, **fields)
        change(request)
        try:
            await getattr(shop.stub, command)(request)
        except grpc.aio.AioRpcError as error:
            refused = from_rpc_error(error)
            named = [violation.field for violation in refused.violations]
            right = (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
            if not right or field not in named:
                failures.append(f"{case}: {refused.code} {refused.reason} {named}, not {field}")
        else:
            failures.append(f"{case}: accepted")
    assert failures == []
    assert await table_digests(shop.url) == before
    assert shop.process.events("incident") == []


async def test_times_are_kept_to_the_microsecond(shop: Caller) -> None:
    order = await shop.place()
    second = order.place_time.seconds + 1
    for nanos, kept in ((999, 0), (123_456_789, 123_456_000)):
        told = Timestamp(seconds=second, nanos=nanos)
        said = {"amount": money(1, "EUR"), "method": "card", "pay_time": told}
        order = (await shop.ask("RecordPayment", order.order_id, **said)).order
        assert (order.payments[-1].pay_time.seconds, order.payments[-1].pay_time.nanos) == (second, kept)


async def test_a_second_without_its_fraction_is_not_before_the_order(shop: Caller) -> None:
    order = await shop.place()
    told = Timestamp(seconds=order.place_time.seconds)
    paid = await shop.ask("RecordPayment", order.order_id, amount=money(1, "EUR"), method="card", pay_time=told)
    assert paid.order.payments[0].pay_time == told


async def test_an_order_is_the_same_in_capitals(shop: Caller) -> None:
    name = (await shop.place()).order_id
    request = request_of("HoldOrder", name.lower())
    held = await shop.stub.HoldOrder(request)
    request.order_id, request.request_id = name.upper(), request.request_id.upper()
    assert await shop.stub.HoldOrder(request) == held
