"""Creates and deletes the consumers that feed the generations of a rebuild."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from nats.aio.client import Client

from query_service.application.ports.errors import DependencyDown
from query_service.application.rebuilding.machine import Tail
from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.stream.consumer import ConsumerPlan, create_consumer, delete_consumer, plan_of, stream_end
from service_runtime.error_text import in_one_line

Answer = TypeVar("Answer")


class RebuildConsumers:
    """Implements StreamTails. `plan` is the plan of the first generation's consumer."""

    def __init__(self, client: Client, plan: ConsumerPlan) -> None:
        self._client, self._plan = client, plan

    async def end(self) -> Tail:
        """See StreamTails."""
        sequence, created_at = await _answered(stream_end(self._client, self._plan.stream))
        return Tail(created_at, sequence)

    async def create(self, generation: str, tail: Tail, read_model: str) -> None:
        """See StreamTails."""
        plan = plan_of(self._plan, generation, tail.sequence)
        await _answered(create_consumer(self._client, plan, read_model))

    async def delete(self, generation: str) -> None:
        """See StreamTails."""
        await _answered(delete_consumer(self._client, plan_of(self._plan, generation)))


async def _answered(request: Awaitable[Answer]) -> Answer:
    try:
        return await request
    except NATS_ERRORS as error:
        raise DependencyDown("nats", in_one_line(error)) from None
