"""How the projector starts, what it refuses by name, and what it says of itself."""

from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.bootstrap import migrate
from query_service.storage.physical.generations.setup import IndexSetup
from service_runtime.process import StartupRefused
from tests.support.queries.order_events import START, an_order, published
from tests.support.queries.projector_checks import (
    blocked,
    claimed_as_of,
    events_of,
    floor_reaches,
    http_get,
    is_complete,
    listening_address,
)
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side
from tests.support.source_mutants import Mutant, noticed

__all__ = ["empty_read_side", "read_side"]


async def test_a_deleted_consumer_pauses_by_name_and_migrate_cures_it(read_side: ReadSide) -> None:
    first, second = published(an_order()), published(an_order())
    async with read_side.process("project") as projector:
        await read_side.publish(first)
        await eventually(lambda: read_side.shows([first]), "the first event")
        await read_side.client.jetstream(timeout=60).delete_consumer(read_side.stream, "projector")
        await projector.wrote("has no consumer projector")
        await read_side.publish(second)
        await migrate(read_side.settings())
        await eventually(lambda: read_side.shows([second]), "the second event")


async def test_migrate_twice_changes_nothing(read_side: ReadSide) -> None:
    async with read_side.projecting():
        event = published(an_order())
        await read_side.publish(event)
        await eventually(lambda: floor_reaches(read_side, 1), "the event acknowledged")
    said = await migrate(read_side.settings())
    assert "exists" in said
    assert await read_side.ack_floor() == 1


async def test_without_a_stream_migrate_says_who_makes_it(empty_read_side: ReadSide) -> None:
    with pytest.raises(StartupRefused, match=f"stream {empty_read_side.stream} does not exist; start the relay"):
        await migrate(empty_read_side.settings())


async def test_without_set_up_the_projector_says_what_to_run(empty_read_side: ReadSide) -> None:
    await empty_read_side.create_stream()
    async with empty_read_side.process("project") as projector:
        assert await projector.ended() == 2
        assert "run `python -m query_service migrate`" in projector.log.splitlines()[-1]


async def test_without_consumer_the_projector_says_what_to_run(read_side: ReadSide) -> None:
    await read_side.client.jetstream(timeout=60).delete_consumer(read_side.stream, "projector")
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match=r"has no consumer projector.*migrate"):
            await task


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"max_deliver": 5}, "max_deliver is 5"), ({"max_ack_pending": 10}, "max_ack_pending is 10")],
)
async def test_a_consumer_set_up_otherwise_is_refused(read_side: ReadSide, changes: dict[str, Any], named: str) -> None:
    config = (await read_side.consumer()).config
    await read_side.client.jetstream(timeout=60).add_consumer(read_side.stream, config.evolve(**changes))
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match=named):
            await task


async def test_a_lost_index_is_projected_anew_from_the_stream(read_side: ReadSide, elasticsearch_url: str) -> None:
    events = events_of(3, 2)
    async with read_side.projecting():
        await read_side.publish(*events)
        await eventually(lambda: floor_reaches(read_side, len(events)), "everything acknowledged")
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.indices.delete(index=f"{read_side.store.names.orders}-g1")
    await read_side.store.prepare()
    async with read_side.projecting() as task:
        with pytest.raises(StartupRefused, match="feeds another read model"):
            await task
    assert "in place of one" in await migrate(read_side.settings())
    async with read_side.projecting():
        await eventually(lambda: is_complete(read_side, events), "a complete read model")


async def test_a_lost_index_claims_nothing_and_what_left_the_stream_is_named(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    async with read_side.projecting():
        await read_side.publish(*events_of(5, 1))
        await read_side.publish_barrier(START)
        await claimed_as_of(read_side)
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await client.indices.delete(index=f"{read_side.store.names.orders}-g1")
    await read_side.client.jetstream(timeout=60).purge_stream(read_side.stream, seq=4)
    with pytest.raises(StartupRefused, match="messages 1 to 3 have left the stream"):
        await migrate(read_side.settings())
    assert await read_side.store.freshness() is None


@pytest.mark.mutant
async def test_a_lost_index_that_keeps_its_claim_is_noticed(read_side: ReadSide, elasticsearch_url: str) -> None:
    with noticed(Mutant(IndexSetup.prepare, "if documents_lost:", "if False:")):
        await test_a_lost_index_claims_nothing_and_what_left_the_stream_is_named(read_side, elasticsearch_url)


async def test_a_stream_that_lost_what_the_read_model_lacks_is_refused(empty_read_side: ReadSide) -> None:
    await empty_read_side.create_stream()
    await empty_read_side.publish(*events_of(5, 1))
    await empty_read_side.client.jetstream(timeout=60).purge_stream(empty_read_side.stream, seq=4)
    with pytest.raises(StartupRefused, match="messages 1 to 3 have left the stream"):
        await migrate(empty_read_side.settings())


async def test_a_stream_that_lost_what_the_read_model_has_is_fine(read_side: ReadSide) -> None:
    async with read_side.projecting():
        await read_side.publish(*events_of(5, 1))
        await read_side.publish_barrier(START)
        await claimed_as_of(read_side)
    jetstream = read_side.client.jetstream(timeout=60)
    await jetstream.purge_stream(read_side.stream)
    await jetstream.delete_consumer(read_side.stream, "projector")
    await migrate(read_side.settings())
    event = published(an_order())
    async with read_side.projecting():
        await read_side.publish(event)
        await eventually(lambda: read_side.shows([event]), "the event after the gap")


async def test_events_that_left_the_stream_unprojected_stop_the_projector(read_side: ReadSide) -> None:
    await read_side.publish(*events_of(5, 1))
    await read_side.client.jetstream(timeout=60).purge_stream(read_side.stream, seq=4)
    async with read_side.process("project") as projector:
        code = await projector.ended()
        assert (code, "3 messages left the stream" in projector.log.splitlines()[-1]) == (2, True), projector.log


async def test_the_probes_tell_why_it_is_not_ready(read_side: ReadSide, elasticsearch_url: str) -> None:
    async with read_side.process("project") as projector:
        await projector.wrote("projecting")
        address = listening_address(projector, "probes")
        assert await http_get(address, "/readyz") == (200, "ok\n")
        async with blocked(elasticsearch_url, read_side.store.names.orders):
            await read_side.publish(published(an_order()))
            await projector.wrote('"event": "paused"')
            status, body = await http_get(address, "/readyz")
            assert status == 503
            assert "cluster_block_exception" in body
            assert (await http_get(address, "/livez"))[0] == 200
            assert "projector_paused 1.0" in (await http_get(address, "/metrics"))[1]
        await eventually(lambda: floor_reaches(read_side, 1), "the event acknowledged")
        assert "projector_applied_events_total" in (await http_get(address, "/metrics"))[1]
