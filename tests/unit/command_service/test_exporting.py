"""The rules of exports that need no database: fields, pace, room of a page, and where to cut."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor
from tandem.orders.v1 import order_export_service_pb2 as contract

from command_service.application.exporting.pace import Pace
from command_service.application.exporting.page_room import ELEMENT_BYTES, PAGE_BYTES, PageRoom
from command_service.handlers.export_rules import REQUEST_RULES, validate
from command_service.storage.exports.comparison_statements import numbers_of_cuts
from service_runtime.edge.request_validation import InvalidRequest
from tests.unit.command_service.test_request_rules import paths

SERVICE = contract.DESCRIPTOR.services_by_name["OrderExportService"]
REQUESTS: dict[str, Descriptor] = {method.input_type.full_name: method.input_type for method in SERVICE.methods}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_field_has_a_rule_and_every_rule_a_field(name: str) -> None:
    rules = REQUEST_RULES[name]
    assert set(paths(REQUESTS[name], rules)) == set(rules)


def test_only_exports_have_rules() -> None:
    assert set(REQUEST_RULES) == set(REQUESTS)


def test_a_range_may_be_empty_and_not_reversed() -> None:
    earlier, later = (f"018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4{digit}" for digit in "Ab")
    validate(contract.ExportOrdersRequest(after_order_id=earlier, until_order_id=earlier.lower()))
    validate(contract.ExportOrdersRequest(after_order_id=earlier, until_order_id=later))
    with pytest.raises(InvalidRequest, match="until_order_id must not be before after_order_id"):
        validate(contract.ExportOrdersRequest(after_order_id=later, until_order_id=earlier))


async def test_the_pace_holds_for_all_exports_together() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(100, clock=lambda: 7.0, sleep=sleep)
    for elements in (50, 200, 0, 1):
        await pace.keep(elements)
    assert slept == pytest.approx([0.5, 2.5, 2.5])
    unlimited = Pace(0, clock=lambda: 7.0, sleep=sleep)
    await unlimited.keep(1_000_000)
    assert len(slept) == 3


def test_a_limited_export_has_small_pages() -> None:
    assert [Pace(1_000).most(elements) for elements in (1_000, 20)] == [100, 20]
    assert [Pace(per_second).most(1_000) for per_second in (0, 4)] == [1_000, 1]


def test_a_page_takes_one_element_of_any_size_and_others_that_fit() -> None:
    room = PageRoom()
    assert room.takes(5 * PAGE_BYTES)
    assert not room.takes(0)
    room = PageRoom()
    assert room.takes(PAGE_BYTES - 2 * ELEMENT_BYTES)
    assert room.takes(0)
    assert not room.takes(1)


@pytest.mark.parametrize(
    ("orders", "parts", "numbers"),
    [
        (0, 4, []),
        (1, 4, []),
        (3, 2, [1]),
        (10, 1, []),
        (10, 3, [3, 6]),
        (2, 5, [1]),
        (1_000_000, 4, [250_000, 500_000, 750_000]),
    ],
)
def test_cuts_make_equal_parts(orders: int, parts: int, numbers: list[int]) -> None:
    assert numbers_of_cuts(orders, parts) == numbers
