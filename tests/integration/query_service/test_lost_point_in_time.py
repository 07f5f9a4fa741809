"""A server that has forgotten a point in time counts as one that was away, so the question is asked again."""

from __future__ import annotations

import pytest

from query_service.application.ports.errors import DependencyDown
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.store import PhysicalStore


async def test_a_scan_whose_point_in_time_is_gone(elasticsearch_url: str, index_prefix: str) -> None:
    store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
    connection = ElasticsearchConnection(elasticsearch_url, request_timeout=60)
    try:
        await store.prepare()
        _, opened = await connection.request("POST", f"/{store.names.orders}/_pit", params={"keep_alive": "1m"})
        await connection.request("DELETE", "/_pit", body={"id": opened["id"]})
        with pytest.raises(DependencyDown, match="404"):
            await connection.request("POST", "/_search", body={"pit": {"id": opened["id"]}})
    finally:
        await connection.close()
        await store.close()
