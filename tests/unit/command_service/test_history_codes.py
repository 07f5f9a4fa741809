"""Orders of the past are in currencies and countries of the past: imports take them, new orders do not."""

from __future__ import annotations

from typing import Any

import pytest
from tandem.orders.minor_units import EXPONENTS, WITHDRAWN_CURRENCIES
from tandem.orders.v1 import order_command_service_pb2 as contract

from command_service.domain.countries import COUNTRIES, WITHDRAWN_COUNTRIES
from command_service.domain.money import Money
from command_service.handlers import order_checks
from command_service.handlers.request_rules import validate
from command_service.wire.order_messages import order_message
from service_runtime.edge.request_validation import InvalidRequest
from tests.support.commands.complete_requests import complete, is_map
from tests.support.commands.domain_orders import after, new_line, pay, placed

#: Decimal places of currencies that are gone, as ISO 4217 had them.
_GONE = {
    0: "ADP BEF BYR ESP GRD ITL LUF MGF PTE TRL",
    2: (
        "AFA ANG ATS AZM BGL CSD CUC CYP DEM EEK FIM FRF GHC HRK IEP LTL LVL MRO MTL MZM NLG RUR SDD SIT SKK SLL SRG"
        " STD TMM VEB VEF XEU YUM ZMK ZWD ZWL ZWN ZWR"
    ),
    3: "YDD",
}
GONE = {code: exponent for exponent, codes in _GONE.items() for code in codes.split()}
_THERE = "AED AUD BGN BRL CHF CLF CNY CZK DKK EUR GBP HUF INR JPY KWD PLN RON SEK TND UYW USD XAF ZAR ZWG"
_REGIONS_GONE = "AN BU CS DD SU TP YU ZR"
ON_AN_ORDER = (contract.ReviseOrderRequest, contract.RecordPaymentRequest, contract.RefundOrderRequest)


def in_currency(message: Any, code: str) -> Any:
    """The message with every amount in this currency."""
    if message.DESCRIPTOR.full_name == "google.type.Money":
        message.currency_code = code
    for field, value in message.ListFields():
        if field.message_type is not None and not is_map(field):
            for each in value if field.is_repeated else [value]:
                in_currency(each, code)
    return message


def wrong(request: Any) -> set[str]:
    """Fields for which the request is refused."""
    try:
        validate(request)
    except InvalidRequest as refusal:
        return {violation.field for violation in refusal.violations}
    return set()


def test_currencies_that_are_gone_have_their_decimal_places() -> None:
    assert {code: EXPONENTS.get(code) for code in GONE} == GONE
    assert set(GONE) <= WITHDRAWN_CURRENCIES
    assert set(_THERE.split()) <= set(EXPONENTS) - WITHDRAWN_CURRENCIES


@pytest.mark.parametrize("code", sorted(WITHDRAWN_CURRENCIES))
def test_a_currency_that_is_gone_is_imported_and_not_ordered_in(code: str) -> None:
    assert wrong(in_currency(complete(contract.ImportOrdersRequest.DESCRIPTOR), code)) == set()
    for request in ON_AN_ORDER:
        assert wrong(in_currency(complete(request.DESCRIPTOR), code)) == set()
    assert wrong(in_currency(complete(contract.PlaceOrderRequest.DESCRIPTOR), code)) == {
        *("lines[0].unit_price.currency_code", "freight.currency_code", "expected_total.currency_code")
    }


def test_an_order_outlives_its_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    order = placed(lines=(new_line(unit_price=Money("BGN", 10_00), quantity=1),), freight=None)
    monkeypatch.setattr(order_checks, "WITHDRAWN_CURRENCIES", WITHDRAWN_CURRENCIES | {"BGN"})
    assert "freight.currency_code" in wrong(in_currency(complete(contract.PlaceOrderRequest.DESCRIPTOR), "BGN"))
    assert wrong(in_currency(complete(contract.RecordPaymentRequest.DESCRIPTOR), "BGN")) == set()
    assert order_message(after(order, pay(Money("BGN", 1_50)))).paid_total.nanos == 500_000_000


def in_region(request: Any, code: str) -> set[str]:
    """Fields for which a complete request with this shipping address is refused."""
    asked = complete(request.DESCRIPTOR)
    asked.shipping_address.region_code = code
    return wrong(asked)


@pytest.mark.parametrize("code", sorted({*_REGIONS_GONE.split(), *WITHDRAWN_COUNTRIES}))
def test_a_country_that_is_gone_is_imported_and_not_shipped_to(code: str) -> None:
    assert in_region(contract.ImportOrdersRequest, code) == set()
    for request in (contract.PlaceOrderRequest, contract.ChangeShippingAddressRequest):
        assert in_region(request, code) == {"shipping_address.region_code"}


@pytest.mark.parametrize("code", ["XK", "DE", "CW", "SX", "RS"])
def test_a_country_that_is_there_takes_orders(code: str) -> None:
    for request in (contract.PlaceOrderRequest, contract.ChangeShippingAddressRequest, contract.ImportOrdersRequest):
        assert in_region(request, code) == set()


def test_no_code_means_two_countries() -> None:
    assert not COUNTRIES & WITHDRAWN_COUNTRIES
    for code in ("", "xk", "EU", "UK", "ZZ", "XX", "AI "):
        assert in_region(contract.ImportOrdersRequest, code) == {"shipping_address.region_code"}
