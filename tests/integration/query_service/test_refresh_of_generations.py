"""A generation that does not answer readers is refreshed rarely, although projectors feed it."""

from __future__ import annotations

import asyncio

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.handlers.notices import refresh_duty
from query_service.handlers.notices.refresh_duty import RefreshDuty
from query_service.handlers.stream.projector import Projector
from query_service.rebuild_commands import run_rebuild
from query_service.storage.physical.generations.lifecycle import IndexGenerations
from tests.fixtures.elasticsearch import put_to_sleep
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side
from tests.support.queries.rebuild_actions import has_workers, write_side
from tests.support.queries.write_side import WriteSide
from tests.support.source_mutants import Mutant, noticed

__all__ = ["empty_read_side", "read_side", "write_side"]


@pytest.fixture(autouse=True)
def _no_refresh_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_duty, "UNSEEN_SECONDS", 3_600.0)


async def check_what_is_searchable(side: ReadSide, written: WriteSide, elasticsearch_url: str) -> None:
    """While g2 is being filled, a projector refreshes g1 at once, and g2 when it is due."""
    await written.change()
    written.gate.clear()
    filling = asyncio.create_task(run_rebuild(side.settings(), "start", workers=1))
    new = side.store_of("g2")
    try:
        await eventually(lambda: has_workers(side), "a worker")
        async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client, side.projecting():

            async def searchable(alias: str) -> int:
                return int((await client.count(index=alias))["count"])

            await put_to_sleep(client, side.store.names.orders)  # so that projectors alone refresh it
            for changes in (2, 3):  # each is searchable a second after it was applied; so g2 has had time for the first
                event = await written.change()

                async def applied(order_id: str = event.order_id) -> bool:
                    return (await new.orders([order_id]))[0].version == 1

                async def listed(changes: int = changes) -> bool:
                    return await searchable(side.store.names.orders) == changes

                await eventually(applied, "the change in g2")
                await eventually(listed, "the change in lists of g1")
            assert await searchable(new.names.orders) == 0, "refreshed"
            refresh_duty.UNSEEN_SECONDS = 0.0

            async def refreshed() -> bool:
                return await searchable(new.names.orders) == 2

            await eventually(refreshed, "the changes in g2")
    finally:
        written.gate.set()
        await filling
        await new.close()


async def test_what_is_being_filled_is_not_refreshed(
    read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str
) -> None:
    await check_what_is_searchable(read_side, write_side, elasticsearch_url)


async def check_who_refreshes_itself(side: ReadSide, elasticsearch_url: str) -> None:
    """The generation that readers see refreshes itself, at every step of a rebuild, and no other."""
    store = side.store_of("")
    generations = store.generations
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:

        async def lively() -> set[str]:
            found = await client.indices.get_settings(index=f"{side.index_prefix}order*-g*", name="*refresh_interval")
            of_orders = {name: one["settings"]["index"] for name, one in found.items() if "parked" not in name}
            return {name[-2:] for name, index in of_orders.items() if index["refresh_interval"] == "1s"}

        try:
            await generations.create("g2")
            await generations.settle("g2")
            assert await lively() == {"g1"}
            await generations.serve("g2", instead_of="g1")
            assert await lively() == {"g2"}
            await generations.serve("g1", instead_of="g2")
            assert await lively() == {"g1"}
            await generations.delete("g1", kept="g2")
            assert await lively() == {"g2"}
        finally:
            await store.close()


async def test_the_generation_of_readers_refreshes_itself(read_side: ReadSide, elasticsearch_url: str) -> None:
    await check_who_refreshes_itself(read_side, elasticsearch_url)


OF_READERS = 'await self._set(generation, {"refresh_interval": mappings.REFRESH_INTERVAL})'
KEPT = 'await self._set(kept, {"refresh_interval": mappings.REFRESH_INTERVAL})'


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(IndexGenerations.serve, OF_READERS, "pass"),
        Mutant(IndexGenerations.serve, "mappings.NO_REFRESH", "mappings.REFRESH_INTERVAL"),
        Mutant(IndexGenerations.delete, KEPT, "pass"),
    ],
    ids=["readers", "others", "kept"],
)
async def test_an_index_that_refreshes_itself_in_vain_or_never_is_noticed(
    read_side: ReadSide, elasticsearch_url: str, mutant: Mutant
) -> None:
    with noticed(mutant):
        await check_who_refreshes_itself(read_side, elasticsearch_url)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(RefreshDuty.run, "if self._serving()", "if True"),
        Mutant(Projector.run, "serving=lambda: self.feed.serving", "serving=lambda: True"),
    ],
    ids=["duty", "projector"],
)
async def test_a_refresh_while_it_is_filled_is_noticed(
    read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str, mutant: Mutant
) -> None:
    with noticed(mutant):
        await check_what_is_searchable(read_side, write_side, elasticsearch_url)
