"""Passes batches of deliveries to the use case, and records the freshness that the barriers prove."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from query_service.application.ports.errors import DependencyDown, ReadStoreNotReady
from query_service.application.ports.read_store import Freshness, ProjectionWriter, StoreIdentity
from query_service.application.projecting.claim_freshness import BarrierLedger, Coverage, Covered
from query_service.application.projecting.project_events import EventProjector, ReachedBarrier
from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection
from query_service.handlers.notices.notices import NoticeSender
from query_service.handlers.stream.consumer import ConsumerPlan, ConsumerState, consumer_state, foreign_consumer
from query_service.handlers.stream.pull import StreamDelivery, StreamPull
from query_service.handlers.stream.working_together import work_together

_log = structlog.get_logger(__name__)
#: How often the ack floor is polled while barriers wait for it, and how often the stream is polled otherwise.
FLOOR_SECONDS, POLL_SECONDS = 0.02, 5.0
_SLOWEST_FLOOR_SECONDS = 0.5
#: How long a stop waits for batches that are being written.
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """The limits of batches: `events` and `bytes` of one, `concurrency` at a time.

    `linger`: how many seconds a batch that is not full waits for more events.
    """

    events: int
    bytes: int
    linger: float
    concurrency: int


class OrderEventConsumer:
    """Projects into one generation. `on_claim`, `on_state` and `on_batch` report to metrics.

    `known` is the freshness that the store has recorded. A generation that is being filled has a `tail`. It claims no
    freshness until `complete` returns True, because it lacks what is not filled yet.
    """

    def __init__(
        self,
        client: NatsConnection,
        plan: ConsumerPlan,
        projector: EventProjector,
        store: ProjectionWriter,
        notices: NoticeSender,
        limits: BulkLimits,
        *,
        identity: StoreIdentity,
        known: Freshness | None,
        tail: Covered | None = None,
        complete: Callable[[], bool] = lambda: True,
        on_claim: Callable[[Freshness], None] = lambda freshness: None,
        on_state: Callable[[ConsumerState], None] = lambda state: None,
        on_batch: Callable[[int, float], None] = lambda events, seconds: None,
    ) -> None:
        self._client, self._plan, self._projector, self._store = client, plan, projector, store
        self._notices, self._limits, self._identity = notices, limits, identity
        self._on_claim, self._on_state, self._on_batch = on_claim, on_state, on_batch
        self.pull = StreamPull(client, plan, capacity=limits.events * limits.concurrency)
        self._ledger, self._coverage, self._complete = BarrierLedger(), Coverage(known or tail), complete
        self._barrier_added = asyncio.Event()

    async def run(self) -> None:
        """Projects until cancelled.

        Raises ReadStoreNotReady when the store is not set up, when the consumer feeds another read model, and when
        messages left the stream before they were projected.
        """
        workers = (self._work() for _ in range(self._limits.concurrency))
        await work_together(self.pull.run(), self._claim(), *workers)

    async def _work(self) -> None:
        while True:
            batch = await self.pull.batch(self._limits.events, self._limits.bytes, self._limits.linger)
            work = asyncio.ensure_future(self._project(batch))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                # On a stop, finish and acknowledge the batch that is being written, if the store answers.
                await asyncio.wait({work}, timeout=STOP_SECONDS)
                work.cancel()
                raise

    async def _project(self, batch: Sequence[StreamDelivery]) -> None:
        started = time.perf_counter()
        for reached in await self._projector.project(batch):
            self._ledger.add(reached)
        self._on_batch(len(batch), time.perf_counter() - started)
        if self._ledger.waiting:
            self._barrier_added.set()

    async def _claim(self) -> None:
        """Polls the ack floor while barriers wait for it, and records how fresh the read model is."""
        pause = FLOOR_SECONDS
        while True:
            if not self._ledger.waiting:
                self._barrier_added.clear()
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._barrier_added.wait()
                except TimeoutError:
                    pass
            claimed = await self._poll()
            # Acks have not arrived yet, or another projector is still writing. Poll again soon, then less often.
            pause = FLOOR_SECONDS if claimed else min(_SLOWEST_FLOOR_SECONDS, pause * 2)
            await asyncio.sleep(pause)

    async def _poll(self) -> bool:
        try:
            state = await consumer_state(self._client, self._plan)
        except NATS_ERRORS:
            return False
        if state is None:
            return False
        self._on_state(state)
        if state.read_model != self._identity.read_model:
            raise ReadStoreNotReady(foreign_consumer(self._plan))
        lost = self._coverage.lost(state.stream_created_at, state.first_sequence, state.ack_floor)
        if lost:
            raise ReadStoreNotReady(
                f"{lost} messages left the stream {self._plan.stream} before they were projected:"
                " the read model must be rebuilt from the write side; run `tandem rebuild start`"
            )
        complete = self._complete()
        reached = self._ledger.claim(state.ack_floor, state.stream_created_at)
        if reached is None or not complete:
            return False
        await self._record(reached, state)
        return True

    async def _record(self, reached: ReachedBarrier, state: ConsumerState) -> None:
        assert reached.barrier.time is not None
        freshness = Freshness(
            as_of=reached.barrier.time,
            source_epoch=reached.barrier.source_epoch,
            generation=self._identity.generation,
            stream_created_at=state.stream_created_at,
            sequence=state.ack_floor,
        )
        try:
            await self._store.record_freshness(freshness)
        except DependencyDown as down:
            _log.debug("freshness not recorded", reason=str(down))  # the next barrier claims a later time
            return
        await self._notices.as_of(freshness)
        self._on_claim(freshness)
