"""The store in memory under the suite every read store must pass."""

import pytest

from query_service.storage.memory import MemoryStore
from tests.conformance.order_question_suite import OrderQuestionSuite
from tests.conformance.read_store_suite import OpenStore, ReadStoreSuite, order_id

__all__ = ["order_id"]


class TestMemoryStore(ReadStoreSuite):
    name = "memory"
    survives_restarts = False

    @pytest.fixture
    def installation(self) -> OpenStore:
        return MemoryStore


class TestMemoryStoreQuestions(OrderQuestionSuite):
    name = "memory"

    @pytest.fixture
    def installation(self) -> OpenStore:
        return MemoryStore
