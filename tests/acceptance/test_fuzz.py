"""Requests of every kind of wrong: none is answered as a fault of the server, and no refusal leaves a trace.

They are made from the descriptors: good requests changed in a few places, and messages of nothing but random values.
"""

from __future__ import annotations

import asyncio
import random
import re
import urllib.request
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from tandem.orders.errors import from_rpc_error, from_status
from tandem.orders.v1 import order_command_service_pb2 as contract
from tandem.orders.v1 import order_export_service_pb2 as export

from command_service.storage.tables import metadata
from tests.fixtures.command_process import ANY_PORT, CommandProcess, serving
from tests.fixtures.write_model import execute, table_digests
from tests.support.chance import new_seed, tell
from tests.support.commands.journal import journal_faults
from tests.support.commands.orders import money, place_order_request
from tests.support.random_messages import UNKNOWN_FIELDS, change_somewhere, random_message

COMMANDS = contract.DESCRIPTOR.services_by_name["OrderCommandService"]
EXPORTS = export.DESCRIPTOR.services_by_name["OrderExportService"]
SERVICES = (COMMANDS, EXPORTS)
METHODS: tuple[MethodDescriptor, ...] = tuple(method for service in SERVICES for method in service.methods)
#: Most calls go where a request can get far.
WEIGHTS = [
    4 if method.name in {"PlaceOrder", "ImportOrders"} else 2 if method.containing_service == COMMANDS else 1
    for method in METHODS
]
#: Service -> the channel to it.
Channels = Mapping[ServiceDescriptor, grpc.aio.Channel]
FAULTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "DATA_LOSS"}
#: What the library's client makes of a stream that the server ends while it is still written to. The server's own count
#: of how calls ended decides there, and the items sent once more, each alone.
LOST = "INTERNAL Internal error from Core"
AT_ONCE, CHUNK, ORDERS = 16, 250, 40

# Each statement that changes a table leaves its transaction's id here; what is rolled back leaves nothing.
TRACES = "CREATE TABLE traces (transaction_id xid8 PRIMARY KEY);" + "".join(
    f"CREATE FUNCTION trace_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    f" INSERT INTO traces VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING; RETURN NULL; END $$;"
    # but for the forgetting of old responses, which is nobody's request
    f" CREATE TRIGGER trace AFTER INSERT OR UPDATE{'' if name == 'command_log' else ' OR DELETE'} ON {name}"
    f" FOR EACH STATEMENT EXECUTE FUNCTION trace_{name}();"
    for name in metadata.tables
)
WITHOUT_EVENT = "SELECT count(*) FROM traces LEFT JOIN outbox USING (transaction_id) WHERE position IS NULL"


@dataclass(frozen=True)
class Sent:
    """A request's bytes, of a stream those of each item, and how it ended."""

    method: MethodDescriptor
    requests: tuple[bytes, ...]
    outcome: str
    accepted: int


class Fuzz:
    """Makes requests and sends them; counts how they ended."""

    def __init__(self, process: CommandProcess, seed: int) -> None:
        self._process, self._source = process, random.Random(seed)
        self._orders: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.accepted = self.unchanged = 0

    async def chunk(self, channels: Channels, count: int) -> list[Sent]:
        """So many calls, some of them at once."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(method: MethodDescriptor, requests: tuple[bytes, ...]) -> Sent:
            async with gate:
                return await self.send(channels, method, requests)

        calls = [self._call() for _ in range(count)]
        sent = await asyncio.gather(*(one(method, requests) for method, requests in calls))
        for each in sent:
            self.outcomes[f"{each.method.name} {each.outcome}"] += 1
            self.accepted += each.accepted
        return sent

    async def send(self, channels: Channels, method: MethodDescriptor, requests: Sequence[bytes]) -> Sent:
        """One call."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        raw: Any = channels[method.containing_service]  # without a serializer it takes and gives bytes
        accepted = 0
        try:
            if not method.client_streaming:
                if method.server_streaming:
                    async for _ in raw.unary_stream(path)(requests[0], timeout=60):
                        pass
                else:
                    answer = await raw.unary_unary(path)(requests[0], timeout=60)
                    if method.containing_service == COMMANDS:
                        self._learn(answer)
                        accepted = 1
            else:
                async for answer in raw.stream_stream(path)(iter(requests), timeout=60):
                    accepted += not _refused(contract.ImportOrdersResponse.FromString(answer))
            outcome = "OK"
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            outcome = f"{refusal.code.name} {refusal.reason or refusal.message}"
            if len(requests) > 1:  # results of items that were done may have got lost with the stream
                alone = [await self.send(channels, method, [request]) for request in requests]
                accepted = sum(each.accepted for each in alone)
        return Sent(method, tuple(requests), outcome, accepted)

    def _learn(self, answer: bytes) -> None:
        changed = contract.PlaceOrderResponse.FromString(answer)
        order_id = changed.order.order_id
        self.unchanged += not changed.events
        if order_id not in self._orders:
            self._orders = [*self._orders[-ORDERS:], order_id]

    def _call(self) -> tuple[MethodDescriptor, tuple[bytes, ...]]:
        (method,) = self._source.choices(METHODS, WEIGHTS)
        items = self._source.randrange(1, 6) if method.client_streaming else 1
        return method, tuple(self._request(method) for _ in range(items))

    def _request(self, method: MethodDescriptor) -> bytes:
        source = self._source
        kind = source.random()
        if kind < 0.02:
            return source.randbytes(source.randrange(200))
        if kind < 0.17:
            message = random_message(source, method.input_type)
        else:
            message = self._good(method)
            for _ in range(source.choice((0, 1, 1, 2, 4))):
                change_somewhere(source, message)
        if method.name == "RedactCustomer" and message.customer_id:
            # An erasure writes one event for each order of the customer, which the counts below cannot tell in advance.
            message.customer_id = f"nobody {message.customer_id}"
        text: bytes = message.SerializeToString()
        return text + UNKNOWN_FIELDS if source.random() < 0.05 else text

    def _good(self, method: MethodDescriptor) -> Any:
        """A request that could be accepted, as far as this can be known."""
        source = self._source
        placed = place_order_request(source, lines=source.randrange(1, 4))
        if method.name == "PlaceOrder":
            return placed
        message: Any = GetMessageClass(method.input_type)()
        if method.name == "ImportOrders":
            for name in ("request_id", "order_id", "source"):
                setattr(message, name, getattr(placed, name))
            for name in ("customer", "shipping_address", "freight"):
                getattr(message, name).CopyFrom(getattr(placed, name))
            message.lines.extend(placed.lines)
            message.order_number = placed.order_id
            message.place_time.seconds = source.randrange(1_700_000_000)
            return message
        known = message.DESCRIPTOR.fields_by_name
        if "request_id" in known:
            message.request_id = placed.request_id
        if "order_id" in known:
            message.order_id = source.choice(self._orders) if self._orders else str(uuid.uuid4())
        if "amount" in known:
            message.amount.CopyFrom(money(source.choice((1, 500, 3_000_000)), source.choice(("EUR", "USD", "JPY"))))
        if "method" in known:
            message.method = "card"
        if "lines" in known:
            message.lines.extend(placed.lines)
        if "shipping_address" in known:
            message.shipping_address.CopyFrom(placed.shipping_address)
        if "items" in known and source.random() < 0.7:
            message.items.add(line_number=source.choice((1, 1, 2)), quantity=source.choice((1, 2)))
        for name in ("shipment_id", "payment_id", "refund_id", "return_id"):
            if name in known:
                setattr(message, name, source.choice(("S1", "S2", placed.request_id)))
        return message


def _refused(result: contract.ImportOrdersResponse) -> bool:
    if not result.status:
        return False
    refusal = from_status(status_pb2.Status.FromString(result.status))
    assert refusal.code.name not in FAULTS, refusal
    return True


async def fuzz(url: str, calls: int, settled_after: int) -> None:
    """`calls` calls; memory is compared with what it was after `settled_after` of them."""
    await execute(url, TRACES)
    async with (
        serving(url, max_import_streams="32", export_listen=ANY_PORT) as process,
        grpc.aio.insecure_channel(process.address) as commands,
        grpc.aio.insecure_channel(process.exports) as exports,
    ):
        channels = {COMMANDS: commands, EXPORTS: exports}
        it = Fuzz(process, new_seed())
        server, memory = psutil.Process(process.pid), 0
        for done in range(CHUNK, calls + CHUNK, CHUNK):
            sent = await it.chunk(channels, CHUNK)
            assert not [name for name in it.outcomes if name.split()[1] in FAULTS and not name.endswith(LOST)]
            await refused_again(it, channels, url, sent)
            if done == settled_after:
                memory = server.memory_info().rss
            if done % 5_000 == 0:
                tell(f"{done} calls, {it.accepted} accepted, {server.memory_info().rss >> 20} MiB")
        assert not process.events("incident")
        assert not FAULTS & set(re.findall(r'code="(\w+)"', await asyncio.to_thread(metrics, process)))
        grown = server.memory_info().rss / memory
    tell(f"{it.accepted} accepted of {calls} calls; {dict(it.outcomes)}; memory x {grown:.3f}")
    assert grown <= 1.1
    assert len(it.outcomes) >= 40, "the requests are not varied enough"
    assert await execute(url, "SELECT count(*) FROM command_log") == [(it.accepted,)]
    assert await execute(url, "SELECT count(*) FROM outbox") == [(it.accepted - it.unchanged,)]
    written = await execute(url, WITHOUT_EVENT)
    assert written == [(it.unchanged,)], "a transaction without an event has written more than an unchanged answer"
    assert await journal_faults(url) == []


def metrics(process: CommandProcess) -> str:
    with urllib.request.urlopen(f"http://{process.probes}/metrics", timeout=30) as answer:
        text: bytes = answer.read()
    return text.decode()


async def refused_again(it: Fuzz, channels: Channels, url: str, sent: Sequence[Sent]) -> None:
    """What was refused for its form is refused whatever the orders are: no table may change, not in a byte."""
    refused = [each for each in sent if each.outcome == "INVALID_ARGUMENT INVALID_REQUEST"]
    wrong = [each for each in refused if not each.method.client_streaming]
    before = await table_digests(url)
    for each in wrong[:50]:
        assert (await it.send(channels, each.method, each.requests)).outcome == each.outcome
    assert await table_digests(url) == before


@pytest.mark.timeout(600)
async def test_a_thousand_random_requests(command_database: str) -> None:
    await fuzz(command_database, 1_000, 500)


@pytest.mark.long
@pytest.mark.timeout(7_200)
async def test_fifty_thousand_random_requests(command_database: str) -> None:
    await fuzz(command_database, 50_000, 5_000)
