"""What a caller has written, they find: in every list, at once, with the token, whoever projects and whoever serves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tandem.orders.v1.order_command_service_pb2 import PlaceOrderResponse
from tandem.orders.v1.order_query_service_pb2 import (
    ORDER_DIMENSION_STATE,
    GetOrderRequest,
    OrderFilter,
    ReadOptions,
    SearchOrdersRequest,
    SummarizeOrdersRequest,
)

from tests.acceptance.test_metrics import scrape
from tests.fixtures.system import System, running_system
from tests.support.commands.orders import place_order_request
from tests.support.faults.delaying_proxy import DelayingProxy
from tests.support.queries.asking import once_caught_up

CALLERS = 8
LONGEST_DELAY_SECONDS = 0.12


@dataclass
class Found:
    """What callers found, and how long it took from the answer to the command, in seconds."""

    checks: int = 0
    missed: list[str] = field(default_factory=list)
    readable: list[float] = field(default_factory=list)
    searchable: list[float] = field(default_factory=list)

    def line(self) -> str:
        """For people."""
        shown = []
        for name, taken in (("readable", sorted(self.readable)), ("searchable", sorted(self.searchable))):
            p50, p99 = (1000 * taken[len(taken) * percent // 100] for percent in (50, 99))
            shown.append(f"{name} p50 {p50:.0f} p99 {p99:.0f} ms")
        return f"{self.checks} checks, {len(self.missed)} missed; command → {', → '.join(shown)}"


def options(written: PlaceOrderResponse) -> ReadOptions:
    found = ReadOptions(consistency_token=written.consistency_token)
    found.max_wait.FromSeconds(5)
    return found


class Finder:
    """Looks for orders in lists and figures of any serving process."""

    def __init__(self, system: System, found: Found, source: random.Random) -> None:
        self._system, self._found, self._source = system, found, source

    async def look(self, written: PlaceOrderResponse) -> None:
        """One list or one summary with the order's token."""
        queries = self._source.choice(self._system.all_queries)
        order = written.order
        wanted = OrderFilter(text=order.order_number)
        self._found.checks += 1
        if self._source.random() < 0.2:
            summarize = SummarizeOrdersRequest(
                filter=wanted, group_by=[ORDER_DIMENSION_STATE], read_options=options(written)
            )
            summary = await once_caught_up(queries.SummarizeOrders, summarize)
            there = sum(total.orders for total in summary.totals) == 1
        else:
            search = SearchOrdersRequest(filter=wanted, read_options=options(written))
            page = await once_caught_up(queries.SearchOrders, search)
            there = [(one.order_id, one.version) for one in page.orders] == [(order.order_id, written.version)]
        if not there:
            self._found.missed.append(order.order_id)

    async def follow(self, written: PlaceOrderResponse) -> None:
        """Reads and finds an order just written, and times it."""
        answered = time.perf_counter()
        request = GetOrderRequest(order_id=written.order.order_id, read_options=options(written))
        read, _ = await asyncio.gather(self._read(request, answered), self.look(written))
        self._found.searchable.append(time.perf_counter() - answered)
        self._found.readable.append(read)

    async def _read(self, request: GetOrderRequest, answered: float) -> float:
        queries = self._source.choice(self._system.all_queries)
        await once_caught_up(queries.GetOrder, request)
        return time.perf_counter() - answered


async def place_and_find(system: System, orders: int, seed: int) -> Found:
    """Each caller places an order, looks for it at once, and for an earlier one of anybody."""
    found, written = Found(), list[PlaceOrderResponse]()

    async def caller(number: int) -> None:
        source = random.Random(seed * 1_000 + number)
        finder = Finder(system, found, source)
        for _ in range(orders // CALLERS):
            response = await system.commands.PlaceOrder(place_order_request(source), timeout=60)
            await finder.follow(response)
            written.append(response)
            await finder.look(source.choice(written))

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return found


async def refreshes(system: System) -> float:
    """Refreshes by all projectors so far."""
    pages = [await asyncio.to_thread(scrape, system.processes[f"query-project{n}"].probes) for n in ("", "-2")]
    lines = [line for page in pages for line in page.splitlines() if line.startswith("projector_refresh_seconds_count")]
    return sum(float(line.split()[1]) for line in lines)


async def both_passes(postgres_url: str, nats_url: str, elasticsearch_url: str, directory: Path, orders: int) -> None:
    """The test: a pass undisturbed, and one with relay and projectors held up by proxies."""
    source = random.Random(6)
    async with contextlib.AsyncExitStack() as stack:
        servers = {"nats": nats_url, "elasticsearch": elasticsearch_url}
        proxies = {
            name: await stack.enter_async_context(DelayingProxy(servers[store].partition("//")[2], source).running())
            for name, store in (("relay", "nats"), ("project", "nats"), ("store", "elasticsearch"))
        }
        of_process = {
            "relay": {"RELAY_NATS_URL": f"nats://{proxies['relay'].address}"},
            "query-project": {
                "QUERY_NATS_URL": f"nats://{proxies['project'].address}",
                "QUERY_ELASTICSEARCH_URL": f"http://{proxies['store'].address}",
            },
        }
        system = await stack.enter_async_context(
            running_system(postgres_url, nats_url, elasticsearch_url, directory, readers=2, of_process=of_process)
        )
        for number, delay in enumerate((0.0, LONGEST_DELAY_SECONDS)):
            for proxy in proxies.values():
                proxy.most = delay
            before, started = await refreshes(system), time.monotonic()
            found = await place_and_find(system, orders, seed=number)
            seconds, done = time.monotonic() - started, await refreshes(system) - before
            print(f"delays up to {delay} s: {found.line()}; {done / seconds:.1f} refreshes/s")
            assert found.checks == 2 * (orders // CALLERS) * CALLERS
            assert found.missed == []
            assert done / seconds <= 20 + 3 / seconds
        assert all(proxy.delayed > orders // 10 for proxy in proxies.values())


@pytest.mark.timeout(900)
async def test_every_order_is_in_the_lists_at_once(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path
) -> None:
    await both_passes(postgres_url, nats_url, elasticsearch_url, tmp_path, 24)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_thousand_orders_are_in_the_lists_at_once(
    postgres_url: str, nats_url: str, elasticsearch_url: str, tmp_path: Path
) -> None:
    await both_passes(postgres_url, nats_url, elasticsearch_url, tmp_path, 1_000)
