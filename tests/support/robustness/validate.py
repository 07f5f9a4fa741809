"""Checks after a storm that the callers' answers, the write model, the stream and the read model agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import nats
import psycopg
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.fixtures.system import System
from tests.support.robustness.ledger import Ledger
from tests.support.robustness.reading import read_with_token

CATCH_UP_SECONDS = 200.0


@dataclass
class Findings:
    """The differences; all fields are empty when everything agrees."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())


async def written_events(database_url: str) -> dict[str, tuple[str, int]]:
    """Returns event id -> (order id, version) of every committed outbox row."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await connection.execute("SELECT event_id::text, aggregate_id::text, aggregate_version FROM outbox")
        return {event_id: (order_id, version) for event_id, order_id, version in await rows.fetchall()}


async def published_events(nats_url: str, stream: str) -> list[tuple[str, str, int]]:
    """Returns (event id, order id, version) of every event in the stream, in order."""
    connection = await nats.connect(nats_url)
    try:
        jetstream = connection.jetstream(timeout=60)
        last = (await jetstream.stream_info(stream)).state.last_seq
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        subscription = await jetstream.pull_subscribe("", stream=stream, config=config)
        found, sequence = [], 0
        while sequence < last:
            try:
                messages = await subscription.fetch(500, timeout=30)
            except NatsTimeoutError:
                break
            for message in messages:
                sequence = message.metadata.sequence.stream
                headers = message.headers or {}
                if "ce-id" in headers:
                    event = headers["ce-id"], headers["ce-subject"], int(headers["Tandem-Version"])
                    found.append(event)
        await subscription.unsubscribe()
        return found
    finally:
        await connection.close()


async def unapplied_events(system: System) -> int:
    """Returns how many messages the projectors have not acknowledged."""
    connection = await nats.connect(system.nats_url)
    try:
        info = await connection.jetstream(timeout=60).consumer_info(system.stream, system.settings["QUERY_CONSUMER"])
        return (info.num_pending or 0) + (info.num_ack_pending or 0)
    finally:
        await connection.close()


async def caught_up(system: System) -> None:
    """Waits until the stream holds as many events as the outbox; times out with both numbers."""
    deadline = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
    while True:
        written = await written_events(system.postgres_url)
        published = await published_events(system.nats_url, system.stream)
        if {event_id for event_id, _, _ in published} >= set(written):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{len(published)} of {len(written)} events published after {CATCH_UP_SECONDS:.0f} s")
        await asyncio.sleep(0.2)


async def validate(system: System, ledger: Ledger) -> Findings:
    """Compares all four, event by event, order by order and field by field."""
    await caught_up(system)
    findings = Findings()
    written = await written_events(system.postgres_url)
    published = await published_events(system.nats_url, system.stream)
    counts = Counter(event_id for event_id, _, _ in published)
    findings.lost = sorted(set(written) - set(counts))
    findings.invented = sorted(set(counts) - set(written))
    findings.duplicated = sorted(event_id for event_id, count in counts.items() if count > 1)
    highest: dict[str, int] = {}
    for event_id, order_id, version in published:
        if version != highest.get(order_id, 0) + 1:
            findings.inverted.append(event_id)
        highest[order_id] = max(version, highest.get(order_id, 0))
    heads: dict[str, int] = {}
    for order_id, version in written.values():
        heads[order_id] = max(version, heads.get(order_id, 0))
    gate = asyncio.Semaphore(16)

    async def compare(order_id: str) -> None:
        known = ledger.orders[order_id]
        if heads.get(order_id, 0) < known.version:
            findings.forgotten.append(order_id)
        async with gate:
            found = await read_with_token(system, order_id, ledger.tokens[order_id])
        if found != known:
            findings.different.append(order_id)

    await asyncio.gather(*(compare(order_id) for order_id in ledger.orders))
    return findings
