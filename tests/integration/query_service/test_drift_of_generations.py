"""Drift while a rebuild is not over, on Elasticsearch: both generations are repaired, and a moved alias is named."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from tandem.orders.partition import partition_of

from query_service.application.comparing.compare import ReadModelComparison
from query_service.application.comparing.drift_check import DriftCheck
from query_service.application.comparing.findings import Kind
from query_service.application.comparing.generation_check import GenerationCheck
from query_service.application.ports.generations import Phase, Rebuild
from query_service.application.reprojecting.reproject import Reprojector
from query_service.clock import now
from query_service.storage.physical.store import PhysicalStore
from tests.support.queries.memory_source import MemorySource

GENERATIONS = ("g1", "g2")


class Model:
    """A read model of two generations after a verified rebuild, both with all orders of `source`."""

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix, self.client = prefix, AsyncElasticsearch(url, request_timeout=60)
        store = partial(PhysicalStore, url, index_prefix=prefix, request_timeout=60)
        self.store, self.source = store(), MemorySource()
        self.of = {generation: store(generation=generation) for generation in GENERATIONS}
        self.order_ids = [self.source.place(2) for _ in range(3)]

    async def prepare(self) -> None:
        """Creates and fills both generations."""
        await self.store.prepare()
        generations = self.store.generations
        await generations.create("g2")
        rebuild = Rebuild("id", *GENERATIONS, Phase.VERIFIED, 1)
        assert await generations.save(rebuild, await generations.rebuild())
        for generation, store in self.of.items():
            await self.source.project_into(store)
            freshness = await self.of["g1"].freshness()
            assert freshness is not None
            await store.record_freshness(replace(freshness, generation=generation))

    def check(self) -> DriftCheck:
        """Returns a check of both generations."""

        def check_of(generation: str) -> GenerationCheck:
            store = self.of[generation]
            comparison = ReadModelComparison(store, self.source, partition_of, time.monotonic, patience=0)
            return GenerationCheck(
                generation, store, comparison, Reprojector(store, self.source, stream="ORDERS", now=now)
            )

        async def fed() -> dict[str, str]:
            return dict.fromkeys(GENERATIONS, "")

        return DriftCheck(self.store, fed, check_of, now)

    async def send_readers(self, alias: str, before: str, after: str) -> None:
        """Moves a readers' alias from the index of one ending to that of another one."""
        alias = f"{self.prefix}{alias}"
        await self.client.indices.update_aliases(
            actions=[
                {"remove": {"index": f"{alias}-{before}", "alias": alias}},
                {"add": {"index": f"{alias}-{after}", "alias": alias}},
            ]
        )


@pytest_asyncio.fixture(loop_scope="session")
async def model(elasticsearch_url: str, index_prefix: str) -> AsyncIterator[Model]:
    model = Model(elasticsearch_url, index_prefix)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(model.client.close)
        for store in (model.store, *model.of.values()):
            opened.push_async_callback(store.close)
        await model.prepare()
        yield model


async def test_both_generations_are_repaired_and_a_moved_alias_is_named(model: Model) -> None:
    wrong, lost, _ = model.order_ids
    await model.client.update(index=f"{model.prefix}orders-g2", id=wrong, doc={"total": 1})
    await model.client.delete(index=f"{model.prefix}orders-g1", id=lost)
    await model.client.indices.create(index=f"{model.prefix}orders-empty")
    await model.send_readers("orders", "g1", "empty")
    seen = await model.check()()
    assert (seen.found, seen.is_clean) == ({Kind.INDEX_SWAPPED: 1}, False)
    assert seen.findings[0].detail.endswith("orders-g1")
    report = await model.check()(repair=True)
    assert [(one.generation, one.repaired) for one in report.generations] == [
        ("g1", {Kind.DOCUMENT_MISSING: 1}),
        ("g2", {Kind.DOCUMENT_ALTERED: 1}),
    ], report
    assert (report.repaired, report.is_clean) == (report.found, True)
    assert await model.store.generations.serving() == "g1"
    assert (await model.check()()).findings == []


async def test_after_a_switch_readers_are_sent_back_to_the_new_generation(model: Model) -> None:
    await model.store.generations.serve("g2", instead_of="g1")
    assert await model.store.swapped_indices() == []
    await model.client.indices.create(index=f"{model.prefix}order-events-empty")
    await model.send_readers("order-events", "g2", "empty")
    [swapped] = await model.store.swapped_indices()
    assert swapped.right == f"{model.prefix}order-events-g2"
    await model.store.swap_back(swapped)
    assert await model.store.swapped_indices() == []
