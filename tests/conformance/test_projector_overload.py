"""An Elasticsearch that says 429: the projector waits by name, drops nothing, parks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from query_service.bootstrap import migrate
from tests.conformance.projector_checks import events_of, floor_reaches, is_complete
from tests.fixtures.order_events import START
from tests.fixtures.private_servers import PrivateElasticsearch
from tests.fixtures.read_side import eventually, read_side_on


async def _limit(client: AsyncElasticsearch, limit: str | None) -> None:
    """The most bytes of requests that the server has in hand before it refuses more."""
    # a bulk that is read piece by piece is not counted
    pieces = None if limit is None else False
    settings: dict[str, Any] = {"network.breaker.inflight_requests.limit": limit, "rest.incremental_bulk": pieces}
    await client.cluster.put_settings(persistent=settings)


@pytest.mark.timeout(300)
async def test_an_overloaded_store_is_waited_for(
    nats_url: str, private_elasticsearch: PrivateElasticsearch, tmp_path: Path
) -> None:
    url = (await private_elasticsearch()).url
    events = events_of(20, 2)
    async with read_side_on(nats_url, url, tmp_path) as side, AsyncElasticsearch(url) as client:
        await side.create_stream()
        await migrate(side.settings())
        async with side.process("project", bulk_events=10) as projector:
            await projector.wrote('"event": "projecting"')
            await _limit(client, "4kb")
            try:
                await side.publish(*events)
                await side.publish_barrier(START)
                await projector.wrote("429 circuit_breaking_exception")
                assert await side.ack_floor() == 0
            finally:
                await _limit(client, None)
            await eventually(lambda: floor_reaches(side, len(events) + 1), "everything acknowledged", within=60)
            assert await is_complete(side, events)
            assert await side.store.parked_events() == []
            assert projector.process.returncode is None
