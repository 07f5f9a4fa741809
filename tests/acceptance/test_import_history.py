"""ImportOrders takes orders as they were: in marks, lire and kuna, from Yugoslavia and the Antilles."""

from __future__ import annotations

import uuid

from google.type.money_pb2 import Money
from tandem.orders.v1.order_command_service_pb2 import ImportOrdersRequest, RecordPaymentRequest

from tests.fixtures.command_process import caller, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import migrated_database
from tests.support.commands.imports import import_all, import_requests, refusal_of
from tests.support.commands.journal import journal_faults


async def test_orders_of_the_past_are_in_currencies_and_countries_of_the_past(migrated_template: Templates) -> None:
    requests = import_requests(7, 4)
    for request, currency, units, region in zip(
        requests, ("DEM", "ITL", "HRK", "MRO"), (7, 12_000, 7, 7), ("YU", "XK", "AN", "SU"), strict=True
    ):
        del request.payments[:], request.shipments[:], request.lines[1:]
        request.ClearField("freight")
        request.lines[0].quantity = 1
        request.lines[0].unit_price.CopyFrom(Money(currency_code=currency, units=units))
        request.shipping_address.region_code = region
    finer = ImportOrdersRequest()
    finer.CopyFrom(requests[1])
    finer.request_id, finer.lines[0].unit_price.nanos = str(uuid.uuid4()), 500_000_000
    async with (
        migrated_database(migrated_template) as url,
        serving(url) as process,
        caller(process) as stub,
    ):
        *results, refused = await import_all(stub, [*requests, finer])
        assert [violation.field for violation in refusal_of(refused).violations] == ["lines[0].unit_price.nanos"]
        for request, result in zip(requests, results, strict=True):
            assert not result.status
            amount = request.lines[0].unit_price
            payment = RecordPaymentRequest(
                request_id=str(uuid.uuid4()), order_id=result.order_id, amount=amount, method="card"
            )
            order = (await stub.RecordPayment(payment)).order
            assert (order.paid_total, order.shipping_address) == (amount, request.shipping_address)
        assert await journal_faults(url) == []
