"""ImportOrders over gRPC: results in the order sent, refusals that end nothing, and streams that end at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from tandem.orders.consistency_token import decode
from tandem.orders.errors import from_rpc_error
from tandem.orders.v1.order_command_service_pb2 import (
    HoldOrderRequest,
    ImportOrdersRequest,
    RecordPaymentRequest,
)
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub

from command_service.handlers.order_imports import WINDOW
from command_service.storage.schema import migrate
from tests.fixtures.command_process import CommandProcess, caller, serving
from tests.fixtures.postgres import Templates
from tests.fixtures.private_servers import PrivatePostgres
from tests.fixtures.write_model import execute, migrated_database, table_digests
from tests.support.commands.imports import import_all, import_request, import_requests, import_until_broken, refusal_of
from tests.support.commands.journal import journal_faults
from tests.support.commands.orders import money
from tests.support.commands.wrong_requests import (
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

ORDERS = "SELECT count(*) FROM orders"
# Sessions of commands; housekeeping may wait beside them.
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND application_name = 'tandem-command' AND query NOT LIKE '%DELETE FROM command_log%'"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(migrated_template: Templates) -> AsyncIterator[tuple[CommandProcess, str]]:
    async with migrated_database(migrated_template) as url, serving(url) as process:
        yield process, url


async def until(url: str, statement: str, condition: Callable[[int], bool]) -> int:
    """Waits until the count that a statement gives meets the condition."""
    async with asyncio.timeout(200):
        while True:
            ((count,),) = await execute(url, statement)
            assert isinstance(count, int)
            if condition(count):
                return count
            await asyncio.sleep(0.02)


async def test_results_come_in_the_order_sent_and_again_as_replays(service: tuple[CommandProcess, str]) -> None:
    process, url = service
    requests = import_requests(1, 300)
    async with caller(process) as stub:
        results = await import_all(stub, requests)
        assert [result.request_id for result in results] == [request.request_id for request in requests]
        assert [result.order_id for result in results] == [request.order_id for request in requests]
        assert {(result.version, result.replayed, result.status) for result in results} == {(1, False, b"")}
        for result in results:
            assert dict(decode(result.consistency_token).versions) == {result.order_id: 1}
        before = await table_digests(url)
        again = await import_all(stub, requests)
        assert {result.replayed for result in again} == {True}
        for first, second in zip(results, again, strict=True):
            second.replayed = False
            assert second == first
        assert await table_digests(url) == before
    assert await journal_faults(url) == []
    kinds = "SELECT DISTINCT event_type, occurred_at = placed_at FROM outbox JOIN orders ON order_id = aggregate_id"
    assert await execute(url, kinds) == [("ORDER_IMPORTED", True)]


async def test_an_imported_order_goes_on_like_any_other(service: tuple[CommandProcess, str]) -> None:
    process, url = service
    request = import_request(random.Random(2))
    del request.payments[:], request.shipments[:]
    request.order_id = ""
    async with caller(process) as stub:
        (result,) = await import_all(stub, [request])
        held = await stub.HoldOrder(HoldOrderRequest(request_id=str(uuid.uuid4()), order_id=result.order_id))
        assert (held.version, held.order.order_number, held.order.source) == (2, request.order_number, "elsewhere")
        assert held.order.place_time == request.place_time
    assert await journal_faults(url) == []


async def test_good_bad_and_repeated_items_in_one_stream(service: tuple[CommandProcess, str]) -> None:
    process, url = service
    good, other, late = import_requests(3, 3)
    reused, taken, renamed, wrong, broken, capitals = (ImportOrdersRequest() for _ in range(6))
    for item in (reused, taken, renamed, wrong, broken, capitals):
        item.CopyFrom(good)
    reused.reason = "another body"
    taken.request_id, taken.order_number = str(uuid.uuid4()), "another"
    renamed.request_id, renamed.order_id = str(uuid.uuid4()), str(uuid.uuid4())
    wrong.request_id, wrong.lines[1].sku = str(uuid.uuid4()), ""
    broken.request_id, broken.order_id, broken.order_number = (str(uuid.uuid4()) for _ in range(3))
    broken.expected_total.CopyFrom(money(1, good.freight.currency_code))
    capitals.request_id, capitals.order_id = good.request_id.upper(), good.order_id.upper()
    # In capitals when it is imported the first time, and when it is refused.
    other.request_id = other.request_id.upper()
    wrong.request_id = wrong.request_id.upper()
    sent = [good, reused, taken, renamed, wrong, broken, ImportOrdersRequest(), good, capitals, other, late]
    async with caller(process) as stub:
        results = await import_all(stub, sent)
    assert [result.request_id for result in results] == [item.request_id for item in sent]
    refused = {n: refusal_of(result) for n, result in enumerate(results) if result.status}
    assert {n: (refusal.reason, refusal.metadata.get("rule")) for n, refusal in refused.items()} == {
        1: ("REQUEST_ID_REUSED", None),
        2: ("RULE_VIOLATED", "order-id-taken"),
        3: ("RULE_VIOLATED", "order-number-taken"),
        4: ("INVALID_REQUEST", None),
        5: ("RULE_VIOLATED", "expected-total"),
        6: ("INVALID_REQUEST", None),
    }
    assert [violation.field for violation in refused[4].violations] == ["lines[1].sku"]
    assert {"request_id", "lines", "source", "place_time"} <= {each.field for each in refused[6].violations}
    assert all(not results[n].order_id and not results[n].version for n in refused)
    done = [result for result in results if not result.status]
    assert [result.replayed for result in done] == [False, True, True, False, False]
    assert process.events("incident") == []
    assert await journal_faults(url) == []


def wrong_fields() -> Cases:
    cases: Cases = {}
    for path in ("request_id", "order_id"):
        cases |= {f"{path}={wrong[:40]!r}": (put(path, wrong), path) for wrong in NOT_UUIDS}
    for path in (
        "source",
        "order_number",
        "customer.customer_id",
        "payments[0].payment_id",
        "shipments[0].shipment_id",
    ):
        cases |= identifiers(path, 64, required=True)
    cases |= labels("labels") | texts("note", 2_000)
    cases |= texts("reason", 500) | address("shipping_address") | address("billing_address")
    cases |= {"no place_time": (put("place_time", None), "place_time"), "no lines": (put("lines", []), "lines")}
    cases |= {"place_time": (put("place_time", Timestamp(nanos=-1)), "place_time.nanos")}
    cases |= numbers("lines[0].quantity", 0, -1, 1_000_001) | amounts("lines[1].unit_price", required=True)
    cases |= amounts("freight", required=False) | amounts("expected_total", required=False)
    cases |= amounts("payments[0].amount", required=True, zero=False) | identifiers("payments[0].reference", 200)
    cases |= identifiers("payments[0].method", 40, required=True) | texts("shipments[0].carrier", 100)
    cases |= identifiers("shipments[0].tracking_number", 100)
    for path in ("payments[0].pay_time", "shipments[0].ship_time"):
        cases[f"no {path}"] = (put(path, None), path)
    cases["deliver_time"] = (put("shipments[0].deliver_time", Timestamp(nanos=-1)), "shipments[0].deliver_time.nanos")
    cases["no items"] = (put("shipments[0].items", []), "shipments[0].items")
    cases |= numbers("shipments[0].items[0].line_number", 0, -1) | numbers("shipments[0].items[0].quantity", 0, -1)
    return cases


def in_euros() -> ImportOrdersRequest:
    """A good item in euros with a payment and a shipment."""
    source = random.Random()
    request = import_request(source)
    while not request.payments or request.freight.currency_code != "EUR":
        request = import_request(source)
    request.billing_address.CopyFrom(request.shipping_address)
    return request


async def test_every_field_wrong_in_every_way(service: tuple[CommandProcess, str]) -> None:
    process, url = service
    cases, items = wrong_fields(), []
    for change, _ in cases.values():
        items.append(in_euros())
        change(items[-1])
    before = await table_digests(url)
    async with caller(process) as stub:
        results = await import_all(stub, items)
    failures = []
    for (case, (_, field)), result in zip(cases.items(), results, strict=True):
        refused = refusal_of(result) if result.status else None
        named = [violation.field for violation in refused.violations] if refused else []
        if refused is None or refused.reason != "INVALID_REQUEST" or field not in named:
            failures.append(f"{case}: {refused} {named}, not {field}")
    assert failures == []
    assert await table_digests(url) == before


async def test_an_empty_stream_and_no_proper_message(service: tuple[CommandProcess, str]) -> None:
    process, url = service
    before = await table_digests(url)
    async with caller(process) as stub, grpc.aio.insecure_channel(process.address) as channel:
        assert await import_all(stub, []) == []
        kinds: Any = channel
        broken = kinds.stream_stream("/tandem.orders.v1.OrderCommandService/ImportOrders")
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in broken(iter([b"\xff\xff\xff"])):
                pass
        assert len(await import_all(stub, import_requests(4, 1))) == 1
    ((count,),) = await execute(url, "SELECT count(*) FROM orders")
    assert before["orders"].split()[0] == str(int(str(count)) - 1)


async def test_a_slow_item_holds_up_answers_and_not_work(command_database: str) -> None:
    requests = import_requests(5, 40)
    slow = requests[0]
    await execute(
        command_database,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1);"
        " RETURN NEW; END $$; CREATE TRIGGER wait BEFORE INSERT ON orders FOR EACH ROW"
        f" WHEN (NEW.order_id = '{slow.order_id}') EXECUTE FUNCTION wait()",
    )
    async with serving(command_database) as process, caller(process) as stub:
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("SELECT pg_advisory_xact_lock(1)")
            importing = asyncio.create_task(import_all(stub, requests))
            await until(command_database, ORDERS, lambda count: count == len(requests) - 1)
            assert not importing.done()
            await blocker.rollback()
        results = await importing
    assert [result.request_id for result in results] == [request.request_id for request in requests]


async def metric(process: CommandProcess, name: str) -> float:
    """The value of one metric without labels."""
    url = f"http://{process.probes}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=60).read().decode())
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@asynccontextmanager
async def slow_taker(process: CommandProcess) -> AsyncIterator[Any]:
    """A caller whose connection buffers little: a fixed window of 64 KiB."""
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(process.address, options=options) as channel:
        yield OrderCommandServiceStub(channel)


async def test_no_more_is_read_than_the_window_while_nothing_is_answered(command_database: str) -> None:
    requests = import_requests(6, 2 * WINDOW)
    async with serving(command_database, deadline_cap_seconds="240") as process, slow_taker(process) as stub:
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE command_log")
            importing = asyncio.create_task(import_all(stub, requests))
            await until(command_database, WAITING, lambda waiting: waiting == 8)  # half of the pool
            async with asyncio.timeout(120):
                while await metric(process, "command_import_unanswered") < WINDOW:
                    await asyncio.sleep(0.05)
            for _ in range(5):
                await asyncio.sleep(0.1)
                assert await metric(process, "command_import_unanswered") == WINDOW
            await blocker.rollback()
        assert len(await importing) == len(requests)
        assert await metric(process, "command_import_unanswered") == 0


async def test_a_caller_who_does_not_take_results_is_not_read_from(command_database: str) -> None:
    requests = import_requests(7, 5 * WINDOW)

    async def sent() -> AsyncIterator[ImportOrdersRequest]:
        for request in requests:
            yield request

    async with serving(command_database) as process, slow_taker(process) as stub:
        call = stub.ImportOrders(sent())
        before, done = -1, 0
        while done == 0 or done != before or await metric(process, "command_import_unanswered") < WINDOW:
            before = done
            await asyncio.sleep(1)
            done = await until(command_database, ORDERS, lambda _: True)
        assert done < len(requests)
        assert await metric(process, "command_import_unanswered") == WINDOW
        assert len([result async for result in call]) == len(requests)


async def test_a_dropped_stream_leaves_whole_orders_and_is_repeated(command_database: str) -> None:
    requests = import_requests(8, 120)
    async with serving(command_database) as process, caller(process) as stub:
        for enough in (1, 20, 50):
            call = stub.ImportOrders(iter(requests))
            await until(command_database, ORDERS, lambda count, enough=enough: count >= enough)  # type: ignore[misc]
            call.cancel()
        await until(
            command_database,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
            " AND application_name = 'tandem-command' AND query NOT LIKE '%DELETE FROM command_log%'",
            lambda active: active == 0,
        )
        assert await journal_faults(command_database) == []
        ((known,),) = await execute(command_database, ORDERS)
        results = await import_all(stub, requests)
        assert sum(result.replayed for result in results) == known
        assert process.events("incident") == []
    assert await execute(command_database, "SELECT count(*) FROM outbox") == [(len(requests),)]
    assert await journal_faults(command_database) == []


async def test_an_orderly_stop_ends_streams_behind_what_was_read(command_database: str) -> None:
    requests = import_requests(9, 2_000)
    async with serving(command_database) as process:
        importing = asyncio.create_task(import_until_broken(process.address, requests))
        await until(command_database, ORDERS, lambda count: count >= 50)
        process.signal(signal.SIGTERM)
        results, error = await importing
        assert await process.ended() == 0
    assert error is not None
    refused = from_rpc_error(error)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert refused.metadata["dependency"] == "command_service"
    # Everything that was read was done and answered.
    assert await execute(command_database, ORDERS) == [(len(results),)]
    assert 50 <= len(results) < len(requests)
    assert await journal_faults(command_database) == []
    async with serving(command_database) as process, caller(process) as stub:
        again = await import_all(stub, requests[: len(results) + 10])
        assert [result.replayed for result in again] == [True] * len(results) + [False] * 10


async def test_a_lost_database_ends_the_stream_and_a_repetition_goes_on(private_postgres: PrivatePostgres) -> None:
    postgres = await private_postgres()
    url = await postgres.ensure_database("orders")
    await asyncio.to_thread(migrate, url)
    requests = import_requests(10, 1_000)
    async with serving(url) as process:
        importing = asyncio.create_task(import_until_broken(process.address, requests))
        await until(url, ORDERS, lambda count: count >= 50)
        await postgres.kill()
        results, error = await importing
        assert error is not None
        assert from_rpc_error(error).code == grpc.StatusCode.UNAVAILABLE
        assert not any(result.status for result in results)
        await postgres.start()
        await until(url, ORDERS, lambda count: count >= len(results))
        async with asyncio.timeout(200):
            while error is not None:
                again, error = await import_until_broken(process.address, requests)
        assert {result.replayed for result in again[: len(results)]} == {True}
        assert await execute(url, ORDERS) == [(len(requests),)]
    assert await journal_faults(url) == []


async def test_streams_above_the_limit_are_refused(command_database: str) -> None:
    async with serving(command_database, max_import_streams="1") as process, caller(process) as stub:
        open_stream = stub.ImportOrders()
        (request,) = import_requests(11, 1)
        await open_stream.write(request)
        response: Any = await open_stream.read()
        assert response.order_id == request.order_id
        # Nothing is sent: a write that meets the refusal half-way would make the client report its own failure instead.
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.ImportOrders().read()
        refused = from_rpc_error(error.value)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_delay is not None
        await open_stream.done_writing()
        assert await open_stream.read() == grpc.aio.EOF
        assert len(await import_all(stub, import_requests(12, 3))) == 3


async def test_an_import_lasts_longer_than_any_call_may(command_database: str) -> None:
    async with serving(command_database, deadline_cap_seconds="2") as process, caller(process) as stub:
        stream = stub.ImportOrders()
        for request in import_requests(13, 3):
            await stream.write(request)
            response: Any = await stream.read()
            assert response.order_id == request.order_id
            await asyncio.sleep(0.7)  # a slow source is the point here
        await stream.done_writing()
        assert await stream.read() == grpc.aio.EOF


async def test_commands_go_on_while_imports_run(command_database: str) -> None:
    async with serving(command_database, pool_size="2") as process, caller(process) as stub:
        (first,) = await import_all(stub, [in_euros()])
        importing = asyncio.create_task(import_all(stub, import_requests(15, 150)))
        paid = 0
        while not importing.done():
            request = RecordPaymentRequest(request_id=str(uuid.uuid4()), order_id=first.order_id, method="card")
            request.amount.CopyFrom(money(1, "EUR"))
            paid += 1
            assert (await stub.RecordPayment(request, timeout=60)).version == paid + 1
        await importing
    assert paid > 5
