"""Watchers while processes and NATS are killed under them: every change once, in each order's order, none missing.

What the services send is recorded before the client library drops anything, so a change sent twice is found too.
"""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.order_watch_async import watch_orders_async
from tandem.orders.v1.order_query_service_pb2 import SearchOrdersRequest, WatchOrdersRequest, WatchOrdersResponse
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from devstack.servers.nats import NatsServer
from tests.fixtures.private_servers import PrivateNats
from tests.fixtures.system import System, running_system
from tests.robustness.test_kill import chosen_seed
from tests.support.robustness.ledger import Ledger
from tests.support.robustness.traffic import Traffic
from tests.support.robustness.validate import written_events
from tests.support.waiting import eventually

VICTIMS = ("query-serve", "query-project", "relay", "nats", "query-serve-2", "command")
#: Watchers that share a connection; each connection admits a limited number of calls.
PER_CHANNEL = 20


class Recorder:
    """The query stub of one watcher. It records every change that the services send."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.sent: list[tuple[str, int]] = []
        self.streams = 0

    def SearchOrders(  # noqa: N802 - the contract's name
        self, request: SearchOrdersRequest, *, timeout: float | None = None
    ) -> Awaitable[Any]:
        answer: Awaitable[Any] = self._stub.SearchOrders(request, timeout=timeout)
        return answer

    def WatchOrders(self, request: WatchOrdersRequest) -> RecordedStream:  # noqa: N802
        self.streams += 1
        return RecordedStream(self._stub.WatchOrders(request), self.sent)


class RecordedStream:
    """One stream, whose changes are recorded."""

    def __init__(self, stream: Any, sent: list[tuple[str, int]]) -> None:
        self._stream, self._sent = stream, sent

    async def read(self) -> object:
        response = await self._stream.read()
        if isinstance(response, WatchOrdersResponse) and response.HasField("event"):
            self._sent.append((response.event.order_id, response.event.order_version))
        return response

    def cancel(self) -> object:
        return self._stream.cancel()


async def token_of_an_empty_list(system: System) -> str:
    """Returns the resume token of a list before the first order."""
    while True:
        listed = await system.queries.SearchOrders(SearchOrdersRequest(), timeout=60)
        assert not listed.orders
        if listed.resume_token:
            return listed.resume_token
        await asyncio.sleep(0.1)


async def watched_kills(system: System, nats: NatsServer, watchers: int, rounds: int, seed: int) -> None:
    """The test itself: `rounds` kills under traffic and watchers, and then the books."""
    source, ledger = random.Random(seed), Ledger()
    print(f"seed {seed}")
    request = WatchOrdersRequest(resume_token=await token_of_an_empty_list(system))
    # Both serving processes are behind one target, so a watcher resumes on the other one.
    target = "ipv4:" + ",".join(system.query_addresses)
    options = [*channel_options(), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(-(-watchers // PER_CHANNEL))]
    recorders = [Recorder(OrderQueryServiceStub(channels[number // PER_CHANNEL])) for number in range(watchers)]
    got: list[list[tuple[str, int]]] = [[] for _ in recorders]

    async def watch(number: int) -> None:
        async for order, _, _ in watch_orders_async(recorders[number], request):
            got[number].append((order.order_id, order.version))

    watching = [asyncio.create_task(watch(number)) for number in range(watchers)]
    try:
        async with Traffic(system, ledger, seed, writers=4, reading=False):
            victims = [*VICTIMS, *source.choices(VICTIMS, k=max(0, rounds - len(VICTIMS)))][:rounds]
            await eventually(lambda: all(got), "every watcher is connected")
            for number, victim in enumerate(victims, 1):
                await asyncio.sleep(source.uniform(0.3, 1.0))
                if victim == "nats":
                    await nats.kill()
                    await nats.restart()
                else:
                    await eventually(lambda name=victim: system.kill(name), f"{victim} runs")  # type: ignore[misc]
                before = ledger.acknowledged
                await eventually(lambda count=before: ledger.acknowledged >= count + 8, "callers go on")  # type: ignore[misc]
                print(f"{number}/{rounds}: {victim} killed, {ledger.acknowledged} acknowledged, {len(got[0])} watched")
        written = sorted((await written_events(system.postgres_url)).values())
        while missing := sum(max(0, len(written) - len(seen)) for seen in got):
            print(f"{missing} changes are still to be watched")
            await eventually(
                lambda before=missing: sum(max(0, len(written) - len(seen)) for seen in got) < before,  # type: ignore[misc]
                "watchers go on",
                timeout=300,
            )
            await asyncio.sleep(1)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for channel in channels:
            await channel.close()
    for recorder, seen in zip(recorders, got, strict=True):
        assert sorted(seen) == written, "a change is missing"
        assert sorted(recorder.sent) == written, "a change was sent twice"
        assert in_order(seen)
    assert max(recorder.streams for recorder in recorders) > 1, "no watcher was interrupted: the kills hit nothing"


def in_order(seen: list[tuple[str, int]]) -> bool:
    """Returns whether the versions of each order came one after the other, from the first on."""
    versions: collections.Counter[str] = collections.Counter()
    for order_id, version in seen:
        versions[order_id] += 1
        if version != versions[order_id]:
            return False
    return True


async def run(
    postgres_url: str, nats: NatsServer, elasticsearch_url: str, directory: Path, watchers: int, rounds: int
) -> None:
    """Runs the test on its own system with two projectors and two serving processes."""
    async with running_system(postgres_url, nats.url, elasticsearch_url, directory, readers=2) as system:
        await watched_kills(system, nats, watchers, rounds, chosen_seed())


@pytest.mark.timeout(900)
async def test_twenty_watchers_through_kills(
    postgres_url: str, private_nats: PrivateNats, elasticsearch_url: str, tmp_path: Path
) -> None:
    # Five kills: gRPC may connect all watchers to one of the two serving processes, and the first four kill one only.
    await run(postgres_url, await private_nats(), elasticsearch_url, tmp_path, 20, 5)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_watchers_through_kills(
    postgres_url: str, private_nats: PrivateNats, elasticsearch_url: str, tmp_path: Path
) -> None:
    await run(postgres_url, await private_nats(), elasticsearch_url, tmp_path, 200, 40)
