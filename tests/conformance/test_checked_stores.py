"""Both stores under the suite of stores that are compared with the write side."""

from __future__ import annotations

import pytest
import pytest_asyncio

from query_service.storage.memory import MemoryStore
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.checked_store_suite import CheckedStoreSuite, OpenCheckedStore
from tests.conformance.read_store_suite import order_id
from tests.support.queries.other_release import become_another_release

__all__ = ["order_id"]


class TestMemory(CheckedStoreSuite):
    @pytest.fixture
    def installation(self) -> OpenCheckedStore:
        return MemoryStore


class TestPhysical(CheckedStoreSuite):
    @pytest_asyncio.fixture(loop_scope="session")
    async def installation(self, elasticsearch_url: str, index_prefix: str) -> OpenCheckedStore:
        store = PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)
        await store.prepare()
        await store.close()
        return lambda: PhysicalStore(elasticsearch_url, index_prefix=index_prefix, request_timeout=60)

    async def test_content_is_its_own_until_another_release_migrates(
        self, installation: OpenCheckedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = installation()
        try:
            await store.prepare()
            assert await store.has_own_content()
            with monkeypatch.context() as patch:
                become_another_release(patch)
                await store.prepare()
                assert not await store.has_own_content()
            assert not await store.has_own_content()
        finally:
            await store.close()
