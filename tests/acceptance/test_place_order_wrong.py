"""Every field of PlaceOrder wrong in every way: the right code, the field or rule named, and nothing written."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.errors import OrderError, from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1.order_types_pb2 import Customer

from tests.fixtures.command_process import CommandProcess, caller, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import migrated_database, table_digests
from tests.support.commands.orders import place_order_request
from tests.support.commands.wrong_requests import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    NOT_UUIDS,
    WITHDRAWN_REGIONS,
    Cases,
    Change,
    address,
    amounts,
    identifiers,
    labels,
    numbers,
    put,
    texts,
    withdrawn,
)

Request = contract.PlaceOrderRequest


def base() -> Request:
    """A good request in euros with two lines."""
    request = place_order_request(random.Random(), lines=2)
    for line in request.lines:
        line.unit_price.CopyFrom(Money(currency_code="EUR", units=10))
        line.quantity, line.discount_basis_points, line.tax_rate_basis_points = 1, 0, 0
    request.freight.CopyFrom(Money(currency_code="EUR", units=5))
    request.expected_total.CopyFrom(Money(currency_code="EUR", units=25))
    request.billing_address.CopyFrom(PostalAddress(region_code="FR"))
    request.order_number = str(uuid.uuid4())
    return request


def wrong_fields() -> Cases:
    """Case → the change that makes the request wrong, and the field that the refusal must name."""
    line = contract.NewOrderLine(sku="S", product_name="P", unit_price=Money(currency_code="EUR", units=1), quantity=1)
    cases: Cases = {
        "customer missing": (put("customer", None), "customer"),
        "customer empty": (put("customer", Customer()), "customer.customer_id"),
        "shipping_address missing": (put("shipping_address", None), "shipping_address"),
        "lines missing": (put("lines", []), "lines"),
        "lines 501": (put("lines", [line] * 501), "lines"),
        "lines 5000": (put("lines", [line] * 5_000), "lines"),
        "line empty": (put("lines", [line, contract.NewOrderLine()]), "lines[1].sku"),
        "request_id missing": (put("request_id", ""), "request_id"),
    }
    for path in ("request_id", "order_id"):
        cases |= {f"{path}={wrong[:40]!r}": (put(path, wrong), path) for wrong in NOT_UUIDS}
    cases |= numbers("expected_version", 1, -1, MAX_INT64, MIN_INT64)
    cases |= texts("reason", 500) | identifiers("source", 64) | identifiers("order_number", 64)
    cases |= identifiers("customer.customer_id", 64, required=True) | texts("customer.display_name", 200)
    cases |= labels("labels") | texts("note", 2_000)
    cases |= texts("customer.phone", 40) | identifiers("customer.email", 254)
    for wrong in ("ann", "@", "ann@", "@example.org"):
        cases[f"customer.email={wrong}"] = (put("customer.email", wrong), "customer.email")
    cases |= address("shipping_address") | address("billing_address")
    for path in ("lines[0]", "lines[1]"):
        cases |= identifiers(f"{path}.sku", 64, required=True) | texts(f"{path}.product_name", 200, required=True)
        cases |= numbers(f"{path}.quantity", 0, -1, 1_000_001, MAX_INT32, MIN_INT32)
        cases |= numbers(f"{path}.discount_basis_points", -1, 10_001, MAX_INT32, MIN_INT32)
        cases |= numbers(f"{path}.tax_rate_basis_points", -1, 10_001, MAX_INT32, MIN_INT32)
        cases |= numbers(f"{path}.line_number", 1, -1, MAX_INT32, MIN_INT32)
    cases |= amounts("lines[1].unit_price", required=True)
    cases |= amounts("freight", required=False) | amounts("expected_total", required=False)
    cases |= withdrawn("lines[0].unit_price") | withdrawn("freight") | withdrawn("expected_total")
    for path in ("shipping_address.region_code", "billing_address.region_code"):
        cases |= {f"{path}={code}": (put(path, code), path) for code in WITHDRAWN_REGIONS}
    return cases


def euros(cents: int) -> Money:
    return Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000)


def too_large(request: Request) -> None:
    """Each amount is within its bounds, their sum is not."""
    put("expected_total", None)(request)
    put("lines[0].quantity", 1_000_000)(request)
    put("lines[0].unit_price", Money(currency_code="EUR", units=10**13))(request)


#: Case → change and the rule that forbids it.
BROKEN_RULES: Cases = {
    "a cent too much expected": (put("expected_total", euros(25_01)), "expected-total"),
    "a cent too little expected": (put("expected_total", euros(24_99)), "expected-total"),
    "nothing expected": (put("expected_total", euros(0)), "expected-total"),
    "the total is too large": (too_large, "amount-too-large"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refusing(migrated_template: Templates) -> AsyncIterator[tuple[CommandProcess, str]]:
    """A serving process that has one order, and its database."""
    async with migrated_database(migrated_template) as url, serving(url) as process:
        async with caller(process) as commands:
            await commands.PlaceOrder(base())
        yield process, url


async def refusal(process: CommandProcess, url: str, request: Request) -> OrderError:
    """The refusal of a request, which must leave no trace."""
    before = await table_digests(url)
    async with caller(process) as commands:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await commands.PlaceOrder(request)
    assert await table_digests(url) == before
    return from_rpc_error(raised.value)


async def test_every_field_wrong_in_every_way(refusing: tuple[CommandProcess, str]) -> None:
    process, url = refusing
    before = await table_digests(url)
    failures = []
    async with caller(process) as commands:
        for name, (change, field) in wrong_fields().items():
            request = base()
            change(request)
            try:
                await commands.PlaceOrder(request)
            except grpc.aio.AioRpcError as error:
                refused = from_rpc_error(error)
                named = [violation.field for violation in refused.violations]
                right = (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
                if not right or field not in named:
                    failures.append(f"{name}: {refused.code} {refused.reason} {named}, not {field}")
            else:
                failures.append(f"{name}: accepted")
    assert failures == []
    assert await table_digests(url) == before
    assert process.events("incident") == []


def test_every_field_is_tried() -> None:
    """A field that is added to the request must be added to the cases."""
    named = {field.replace("[0]", "[]").replace("[1]", "[]") for _, field in wrong_fields().values()}
    tops = {field.name for field in Request.DESCRIPTOR.fields}
    assert {path.split(".")[0].removesuffix("[]") for path in named} == tops
    lines = {field.name for field in contract.NewOrderLine.DESCRIPTOR.fields}
    assert {path.split(".")[1] for path in named if path.startswith("lines[].")} == lines
    customer = {field.name for field in Customer.DESCRIPTOR.fields}
    assert {path.split(".")[1] for path in named if path.startswith("customer.")} == customer
    for which in ("shipping_address", "billing_address"):
        parts = {path.split(".")[1].removesuffix("[]") for path in named if path.startswith(f"{which}.")}
        assert parts == {field.name for field in PostalAddress.DESCRIPTOR.fields}


@pytest.mark.parametrize(("change", "rule"), BROKEN_RULES.values(), ids=BROKEN_RULES)
async def test_broken_rules(refusing: tuple[CommandProcess, str], change: Change, rule: str) -> None:
    request = base()
    change(request)
    refused = await refusal(*refusing, request)
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RULE_VIOLATED")
    assert refused.metadata["rule"] == rule


async def test_an_order_id_and_a_number_are_given_once(refusing: tuple[CommandProcess, str]) -> None:
    process, url = refusing
    first = base()
    async with caller(process) as commands:
        await commands.PlaceOrder(first)
    for field, rule in (("order_id", "order-id-taken"), ("order_number", "order-number-taken")):
        request = base()
        put(field, getattr(first, field))(request)
        refused = await refusal(process, url, request)
        assert (refused.code, refused.metadata["rule"]) == (grpc.StatusCode.FAILED_PRECONDITION, rule)
        assert refused.metadata[field] == getattr(first, field)


async def test_a_request_id_is_for_one_request(refusing: tuple[CommandProcess, str]) -> None:
    process, url = refusing
    first, other = base(), base()
    async with caller(process) as commands:
        await commands.PlaceOrder(first)
    other.request_id = first.request_id
    refused = await refusal(process, url, other)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_the_largest_good_values_are_taken(refusing: tuple[CommandProcess, str]) -> None:
    process, _ = refusing
    request = base()
    for path, longest in (
        ("reason", 500),
        ("customer.customer_id", 64),
        ("customer.display_name", 200),
        ("customer.phone", 40),
        ("lines[0].sku", 64),
        ("lines[0].product_name", 200),
        ("source", 64),
        ("order_number", 64),
        ("shipping_address.locality", 100),
    ):
        put(path, "ü" * longest)(request)
    put("customer.email", "x" * 242 + "@example.org")(request)
    put("lines[1].quantity", 1_000_000)(request)
    put("lines[1].discount_basis_points", 10_000)(request)
    put("lines[1].tax_rate_basis_points", 10_000)(request)
    put("expected_total", euros(15_00))(request)
    put("expected_version", 0)(request)
    async with caller(process) as commands:
        placed = await commands.PlaceOrder(request)
        assert placed.order.customer.display_name == "ü" * 200
        request = base()
        put("expected_total", None)(request)
        put("lines", [request.lines[0]] * 500)(request)
        assert len((await commands.PlaceOrder(request)).order.lines) == 500


async def test_a_request_larger_than_any_order_is_refused(refusing: tuple[CommandProcess, str]) -> None:
    process, url = refusing
    request = base()
    put("reason", "x" * 2_000_000)(request)
    refused = await refusal(process, url, request)
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_order_that_leaves_no_room_for_its_later_events_is_refused(
    refusing: tuple[CommandProcess, str],
) -> None:
    _, url = refusing
    request = base()
    request.ClearField("expected_total")
    request.lines.extend([request.lines[0]] * 250)
    async with serving(url, max_event_bytes="100000") as small:
        refused = await refusal(small, url, request)
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RULE_VIOLATED")
    assert (refused.metadata["rule"], refused.metadata["limit"]) == ("order-size", "100000")
