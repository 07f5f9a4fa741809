"""A generation that does not answer readers is refreshed rarely, although projectors feed it."""

from __future__ import annotations

import asyncio

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.application.lags.stage_lags import StageLags
from query_service.application.ports.checked_store import SwappedIndex
from query_service.bootstrap import migrate
from query_service.handlers.notices import refresh_duty
from query_service.handlers.notices.refresh_duty import RefreshDuty
from query_service.handlers.stream.projector import Projector
from query_service.rebuild_commands import run_rebuild
from query_service.storage.physical.generations.lifecycle import IndexGenerations
from query_service.storage.physical.generations.readers_aliases import ReadersAliases
from query_service.storage.physical.generations.setup import IndexSetup
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


async def check_readers_who_are_moved(
    side: ReadSide, written: WriteSide, elasticsearch_url: str, patch: pytest.MonkeyPatch
) -> None:
    """What g2 applied while nobody saw it is refreshed when readers come, although no event follows."""
    await written.change()
    assert not (await run_rebuild(side.settings(), "start", workers=1)).error
    new, unseen, looks = side.store_of("g2"), list[StageLags](), list[StageLags]()
    forget, waits = StageLags.forget_unsearchable, StageLags.unsearchable_for

    def forgetting(lags: StageLags) -> None:
        unseen.append(lags)
        forget(lags)

    def waiting(lags: StageLags) -> float:
        looks.append(lags)
        return waits(lags)

    async def ignored(self: IndexGenerations, generation: str, alias: str, settings: dict[str, str]) -> None:
        """Leaves the index without a refresh of its own, so that projectors alone refresh it."""

    patch.setattr(StageLags, "forget_unsearchable", forgetting)
    patch.setattr(StageLags, "unsearchable_for", waiting)
    patch.setattr(IndexGenerations, "_set", ignored)
    try:
        async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client, side.projecting():
            event = await written.change()

            async def applied() -> bool:
                return (await new.orders([event.order_id]))[0].version == 1

            async def searchable() -> int:
                return int((await client.count(index=new.names.orders))["count"])

            await eventually(applied, "the change in g2")
            seen = len(unseen)

            async def passed_over() -> bool:
                return len(unseen) > seen

            await eventually(passed_over, "a look at a generation that nobody sees")
            assert await searchable() == 1
            of_g2 = unseen[0]
            await new.generations.serve("g2", instead_of="g1")

            async def looked_twice() -> bool:  # so what the first look began is done
                return looks.count(of_g2) >= 2

            await eventually(looked_twice, "looks at the generation that readers see now")
            assert await searchable() == 2, "what was applied before is not in lists"
    finally:
        await new.close()


async def test_readers_who_are_moved_see_what_was_applied_before(
    read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_readers_who_are_moved(read_side, write_side, elasticsearch_url, monkeypatch)


@pytest.mark.mutant
async def test_readers_who_are_moved_to_what_is_not_searchable_are_noticed(
    read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noticed(Mutant(RefreshDuty.run, "not served or ", "")):
        await check_readers_who_are_moved(read_side, write_side, elasticsearch_url, monkeypatch)


async def intervals(client: AsyncElasticsearch, side: ReadSide) -> dict[str, str]:
    """How often each index refreshes itself, by name without prefix."""
    found = await client.indices.get_settings(index=f"{side.index_prefix}*", name="*refresh_interval")
    return {
        name.removeprefix(side.index_prefix): one["settings"]["index"]["refresh_interval"]
        for name, one in found.items()
    }


async def check_who_refreshes_itself(side: ReadSide, elasticsearch_url: str) -> None:
    """A generation refreshes itself from the moment in which readers see it."""
    store = side.store_of("")
    generations = store.generations
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:

        async def lively() -> dict[str, str]:
            """Without those that never do."""
            return {name: one for name, one in (await intervals(client, side)).items() if one != "-1"}

        read_by_id = {"orders-parked-g1": "60s", "read-model-state-g1": "60s"}
        old, new = {"orders-g1": "1s", "order-events-g1": "60s"}, {"orders-g2": "1s", "order-events-g2": "60s"}
        try:
            await generations.create("g2")
            await generations.settle("g2")
            assert await lively() == read_by_id | old
            await generations.serve("g2", instead_of="g1")
            assert await lively() == read_by_id | old | new
            await generations.serve("g1", instead_of="g2")
            assert await lively() == read_by_id | old | new, "a rollback leaves no index without refreshes"
        finally:
            await store.close()


async def test_a_generation_that_readers_see_refreshes_itself(read_side: ReadSide, elasticsearch_url: str) -> None:
    await check_who_refreshes_itself(read_side, elasticsearch_url)


async def check_a_repaired_alias(side: ReadSide, elasticsearch_url: str) -> None:
    """Readers are moved back to an index that did not refresh itself: from then on it does."""
    store = side.store_of("")
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        try:
            await store.generations.create("g2")
            orders, other = f"{side.index_prefix}orders-g2", f"{side.index_prefix}orders-g1"
            await store.swap_back(SwappedIndex(store.names.orders, other, orders))
            assert (await client.indices.get_alias(index=orders))[orders]["aliases"].keys() >= {store.names.orders}
            settings = await client.indices.get_settings(index=orders, name="*refresh_interval")
            assert settings[orders]["settings"]["index"]["refresh_interval"] == "1s"
        finally:
            await store.close()


async def test_an_index_that_gets_its_readers_back_refreshes_itself(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    await check_a_repaired_alias(read_side, elasticsearch_url)


@pytest.mark.mutant
async def test_an_index_that_gets_its_readers_back_and_is_not_refreshed_is_noticed(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    with noticed(Mutant(ReadersAliases.swap_back, "mappings.REFRESH_INTERVAL", "mappings.NO_REFRESH")):
        await check_a_repaired_alias(read_side, elasticsearch_url)


OF_ORDERS = 'await self._set(generation, orders, {"refresh_interval": mappings.REFRESH_INTERVAL})'
OF_ENTRIES = 'await self._set(generation, entries, {"refresh_interval": mappings.RARE_REFRESH_INTERVAL})'


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(IndexGenerations.serve, OF_ORDERS, "pass"),
        Mutant(IndexGenerations.serve, OF_ENTRIES, "pass"),
        Mutant(IndexGenerations.create, "mappings.FILLING_SETTINGS", '{"index": {"refresh_interval": "1s"}}'),
    ],
    ids=["orders", "entries", "unseen"],
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
        Mutant(RefreshDuty.run, "if serving:", "if True:"),
        Mutant(Projector.run, "serving=lambda: self.feed.serving", "serving=lambda: True"),
    ],
    ids=["duty", "projector"],
)
async def test_a_refresh_while_it_is_filled_is_noticed(
    read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str, mutant: Mutant
) -> None:
    with noticed(mutant):
        await check_what_is_searchable(read_side, write_side, elasticsearch_url)


async def check_renewed(side: ReadSide, elasticsearch_url: str) -> None:
    """`migrate` gives what an earlier release made this release's intervals, once, and leaves an operator's alone."""
    store, prefix = side.store_of(""), side.index_prefix
    # One that an operator has chosen, two of an earlier release, and one that was never set.
    before = {"orders-parked-g1": "5s", "read-model-state-g1": "1s", "order-events-g1": "1s", "orders-g1": None}
    after = {"orders-parked-g1": "5s", "read-model-state-g1": "60s", "order-events-g1": "60s", "orders-g1": "1s"}
    changed = [
        f"{prefix}orders-g1 has index.refresh_interval 1s now, before none",
        f"{prefix}order-events-g1 has index.refresh_interval 60s now, before 1s",
        f"{prefix}read-model-state-g1 has index.refresh_interval 60s now, before 1s",
    ]
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        try:
            await store.generations.create("g2")
            for name, interval in before.items():
                await client.indices.put_settings(index=f"{prefix}{name}", settings={"refresh_interval": interval})
            for said in (changed, []):
                assert (await migrate(side.settings())).split("; ")[2:] == said
                assert await intervals(client, side) == after | {"orders-g2": "-1", "order-events-g2": "-1"}
        finally:
            await store.close()


async def test_what_an_earlier_release_made_gets_the_settings_of_this_one(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    await check_renewed(read_side, elasticsearch_url)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [
        Mutant(IndexSetup.renew_settings, " and found in mappings.EARLIER_INTERVALS", ""),
        Mutant(IndexSetup.renew_settings, "found != wanted and ", ""),
        Mutant(IndexSetup._refresh_interval, "alias == self._names.orders", "True"),
    ],
    ids=["an operator's", "what is right", "as often as the orders"],
)
async def test_settings_that_are_renewed_wrongly_are_noticed(
    read_side: ReadSide, elasticsearch_url: str, mutant: Mutant
) -> None:
    with noticed(mutant):
        await check_renewed(read_side, elasticsearch_url)
