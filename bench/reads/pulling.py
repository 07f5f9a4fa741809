"""`python -m bench.reads.pulling ours|library URL EVENTS`: measures fetching and acknowledging events in two ways.

`ours` is the projector's code (`query_service.handlers.stream.pull`), `library` is nats-py's `fetch` and `ack`. Both
fetch batches of the projector's size from their own consumer, read the headers, and acknowledge each message. The
output is a JSON object: elapsed and CPU seconds from the first request to the last ack.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable

import nats
from nats.js.api import AckPolicy, ConsumerConfig

from bench.harness.program import run_program
from bench.harness.rounds import Figures, NotMeasured
from bench.harness.stream import EVENTS, NAME, Stream
from query_service.config import QuerySettings
from query_service.handlers.nats_connection import connect_nats
from query_service.handlers.stream.consumer import ConsumerPlan
from query_service.handlers.stream.pull import StreamPull
from service_runtime.process import cancel

#: Messages per fetch, and the most unacknowledged messages, both as in a projector.
BATCH = int(QuerySettings.model_fields["bulk_events"].default)
HELD = BATCH * int(QuerySettings.model_fields["bulk_concurrency"].default)
_CONSUMER = "bench-pulling"


async def pulled(url: str, way: str, events: int) -> Figures:
    """Runs one of WAYS over the stream's events, in a process of its own. Returns its rate and CPU time per event."""
    async with Stream(url) as stream:
        await stream.add_consumer(ConsumerConfig(
            durable_name=_CONSUMER, filter_subject=EVENTS, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=HELD
        ))  # fmt: skip
        try:
            command = [sys.executable, "-m", "bench.reads.pulling", way, url, str(events)]
            ran = await asyncio.to_thread(run_program, command, 600.0)
            left = await stream.unprojected(_CONSUMER)
        finally:
            await stream.drop_consumer(_CONSUMER)
    if ran.status != 0 or left:
        raise NotMeasured(f"{way}: {ran.last_line if ran.status else f'{left} events are not acknowledged'}")
    said = json.loads(ran.last_line)
    return {"rate": events / said["seconds"], "cpu_us_per_event": 1e6 * said["cpu"] / events}


async def by_ours(url: str, events: int) -> None:
    """Fetches the events as the projector does."""
    connection = await connect_nats(url, "bench pulling")
    plan = ConsumerPlan(NAME, _CONSUMER, ack_wait=30, max_ack_pending=HELD)
    pull = StreamPull(connection, plan, capacity=HELD)
    running = asyncio.create_task(pull.run())
    taken = 0
    while taken < events:
        for delivery in await pull.batch(BATCH, 1 << 30, 0):
            taken += 1 if delivery.headers else 0
            await delivery.ack()
    with contextlib.suppress(asyncio.CancelledError):
        await cancel(running)
    await connection.close()


async def by_library(url: str, events: int) -> None:
    """Fetches the events as the library's documentation shows."""
    connection = await nats.connect(url)
    subscription = await connection.jetstream().pull_subscribe_bind(_CONSUMER, NAME)
    taken = 0
    while taken < events:
        for message in await subscription.fetch(BATCH, timeout=10):
            taken += 1 if message.headers else 0
            await message.ack()
    await connection.flush(30)
    await connection.close()


WAYS: dict[str, Callable[[str, int], Awaitable[None]]] = {"ours": by_ours, "library": by_library}


def main(way: str, url: str, events: int) -> None:
    """Runs one of WAYS and prints what it cost."""
    started, spent = time.perf_counter(), time.process_time()
    asyncio.run(WAYS[way](url, events))  # type: ignore[arg-type]
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - spent}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
