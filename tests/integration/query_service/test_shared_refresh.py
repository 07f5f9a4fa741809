"""Several projectors refresh for several serving processes: every answer is right, and refreshes stay rare."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from nats.aio.msg import Msg
from tandem.orders.errors import ReadModelBehind, from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.handlers.notices.refresh_duty import REFRESHED
from query_service.handlers.notices.refresh_turns import LEAST_PAUSE_SECONDS
from tests.fixtures.elasticsearch import put_to_sleep
from tests.support.queries.asking import once_caught_up
from tests.support.queries.order_events import PublishedEvent, an_order, published
from tests.support.queries.projector_checks import blocked, http_get, listening_address
from tests.support.queries.query_client import an_event
from tests.support.queries.query_serving import Server, apply, names, options, serving
from tests.support.queries.read_side import QueryProcess, ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]
Ports = Callable[[], int]


@pytest_asyncio.fixture(loop_scope="session")
async def asleep(read_side: ReadSide, elasticsearch_url: str) -> ReadSide:
    """A read side of which nothing becomes searchable by itself."""
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await put_to_sleep(client, f"{read_side.index_prefix}orders")
    return read_side


@asynccontextmanager
async def two_projectors(side: ReadSide, *mutant: str) -> AsyncIterator[list[QueryProcess]]:
    """Two projectors as processes, both at work."""
    module = "tests.support.queries.projector_mutants" if mutant else "query_service"
    async with (
        side.process(*mutant, "project", module=module) as one,
        side.process(*mutant, "project", module=module) as two,
    ):
        for process in (one, two):
            await process.wrote('"event": "projecting"')
        yield [one, two]


@asynccontextmanager
async def two_servers(side: ReadSide, port: Ports) -> AsyncIterator[list[Server]]:
    """Two serving processes that hear the projectors."""
    async with serving(side, port()) as one, serving(side, port()) as two:
        yield [one, two]


async def find(server: Server, event: PublishedEvent) -> contract.SearchOrdersResponse:
    customer = contract.OrderFilter(customer_ids=[event.order.customer.customer_id])
    request = contract.SearchOrdersRequest(filter=customer, read_options=options(names(event), 5))
    return await once_caught_up(server.stub.SearchOrders, request)


async def write_and_find(side: ReadSide, server: Server, times: int) -> int:
    """How many of so many writes were not in the list that was asked for with their token."""
    missed = 0
    for _ in range(times):
        event = an_event(uuid.uuid4().hex)
        await apply(side, event)
        found = {order.order_id for order in (await find(server, event)).orders}
        missed += event.order_id not in found
    return missed


async def refreshes(projectors: list[QueryProcess]) -> float:
    """How many refreshes these projectors did so far."""
    return sum([(await _counted(one))["projector_refresh_seconds_count", "done"] for one in projectors])


@asynccontextmanager
async def bounded(projectors: list[QueryProcess]) -> AsyncIterator[None]:
    """Refreshes within the block are 50 ms apart on average, whoever does them."""
    before, started = await refreshes(projectors), asyncio.get_running_loop().time()
    yield
    took = asyncio.get_running_loop().time() - started
    # one at each end of the time, and one too many when two projectors take an idle turn at the same moment
    assert await refreshes(projectors) - before <= took / LEAST_PAUSE_SECONDS + 3


async def load(side: ReadSide, servers: list[Server], callers: int, times: int) -> int:
    """Misses of callers who write and find at the same time."""
    work = (write_and_find(side, servers[number % len(servers)], times) for number in range(callers))
    return sum(await asyncio.gather(*work))


async def requests_at_once(side: ReadSide, count: int) -> None:
    """Requests as serving processes send them, more than those would send."""
    subject = f"tandem.{side.subject}.projector.g1.refresh"
    answers = await asyncio.gather(*(side.client.request(subject, b"", timeout=120) for _ in range(count)))
    assert all(answer.data == REFRESHED for answer in answers)


async def test_a_hundred_callers_find_all_they_wrote_and_refreshes_stay_bounded(
    asleep: ReadSide, unused_tcp_port_factory: Ports
) -> None:
    async with two_projectors(asleep) as projectors, two_servers(asleep, unused_tcp_port_factory) as servers:
        async with bounded(projectors):
            assert await load(asleep, servers, callers=100, times=1) == 0
        async with bounded(projectors):
            await requests_at_once(asleep, 300)
        assert await refreshes(projectors) > 0


async def _counted(projector: QueryProcess) -> dict[tuple[str, str], float]:
    _, page = await http_get(listening_address(projector, "probes"), "/metrics")
    lines = re.findall(r'^(projector_refresh_\w+)\{outcome="(\w+)"\} (\S+)$', page, re.MULTILINE)
    found = {(name, outcome): float(value) for name, outcome, value in lines}
    return {("projector_refresh_seconds_count", "done"): 0.0} | found


@pytest.mark.mutant
async def test_a_projector_that_answers_before_the_refresh_is_caught(
    asleep: ReadSide, unused_tcp_port_factory: Ports
) -> None:
    mutant = "answers_before_the_refresh"
    async with two_projectors(asleep, mutant), two_servers(asleep, unused_tcp_port_factory) as servers:
        async with asyncio.timeout(240):
            while not await load(asleep, servers, callers=10, times=3):
                pass  # sooner or later it is too early


@pytest.mark.mutant
async def test_projectors_that_know_nothing_of_each_other_are_caught(asleep: ReadSide) -> None:
    """The mutant refreshes for itself, without a pause."""
    async with two_projectors(asleep, "refreshes_at_once") as projectors:
        with pytest.raises(AssertionError):
            async with bounded(projectors):
                await requests_at_once(asleep, 300)


async def test_whoever_refreshes_may_die(asleep: ReadSide, unused_tcp_port_factory: Ports) -> None:
    async with two_projectors(asleep) as projectors, two_servers(asleep, unused_tcp_port_factory) as servers:
        heard: list[str] = []

        async def on_refreshed(message: Msg) -> None:
            heard.append(message.data.decode())

        await asleep.client.subscribe(f"tandem.{asleep.subject}.projector.g1.refreshed", cb=on_refreshed)
        assert await write_and_find(asleep, servers[0], 1) == 0
        counts = [(await _counted(one))["projector_refresh_seconds_count", "done"] for one in projectors]
        holder = projectors[counts.index(max(counts))]
        await holder.kill()
        assert await write_and_find(asleep, servers[1], 3) == 0
        assert await write_and_find(asleep, servers[0], 3) == 0
        names_heard = {re.search('"projector":"([0-9a-f]+)"', notice) for notice in heard}
        assert len({found.group(1) for found in names_heard if found is not None}) == 2


async def test_without_projectors_lists_wait_for_the_index_itself(
    read_side: ReadSide, elasticsearch_url: str, unused_tcp_port: int
) -> None:
    event = published(an_order())
    async with (
        serving(read_side, unused_tcp_port) as server,
        AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client,
    ):
        await put_to_sleep(client, f"{read_side.index_prefix}orders")
        await apply(read_side, event)
        request = contract.SearchOrdersRequest(read_options=options(names(event), 0.5))
        with pytest.raises(Exception) as refusal:
            await server.stub.SearchOrders(request, timeout=60)
        behind = from_rpc_error(refusal.value)  # type: ignore[arg-type]
        assert isinstance(behind, ReadModelBehind)
        assert behind.metadata == {"order_id": event.order_id, "needed_version": "1", "current_version": "0"}
        request.read_options.on_timeout = contract.ON_TIMEOUT_RETURN_STALE
        stale = await server.stub.SearchOrders(request, timeout=60)
        assert (stale.total_size, stale.read_info.stale) == (0, True)
        await client.indices.put_settings(index=f"{read_side.index_prefix}orders", settings={"refresh_interval": "1s"})
        assert [order.order_id for order in (await find(server, event)).orders] == [event.order_id]


async def test_what_nobody_asks_for_is_made_searchable_too(asleep: ReadSide) -> None:
    event = published(an_order())
    async with asleep.projecting():
        await asleep.publish(event)

        async def listed() -> bool:
            return await asleep.store.listed([event.order_id]) == [(1, 1)]

        await eventually(listed, "the order in searches")


async def test_a_store_that_refuses_is_no_answer(asleep: ReadSide, elasticsearch_url: str) -> None:
    async with asleep.process("project") as projector:
        await projector.wrote('"event": "projecting"')
        subject = f"tandem.{asleep.subject}.projector.g1.refresh"

        async def answers(expected: bool) -> bool:
            with contextlib.suppress(Exception):
                answer = await asleep.client.request(subject, b"", timeout=2)
                return bool((answer.data == REFRESHED) == expected)
            return False

        await eventually(lambda: answers(True), "an answer")
        async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
            await client.indices.close(index=f"{asleep.index_prefix}orders")
            await eventually(lambda: answers(False), "a refusal")
            await client.indices.open(index=f"{asleep.index_prefix}orders")
        await eventually(lambda: answers(True), "an answer again")
        async with blocked(elasticsearch_url, asleep.store.names.orders):
            await eventually(lambda: answers(True), "what is in can be searched while nothing can be written")
