"""Somebody else's outbox: other schema, names and types, no column that it need not have."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from tests.support.chance import new_seed
from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import running
from tests.support.relay.tables import FOREIGN, FOREIGN_ENVIRONMENT, INSERT_FOREIGN
from tests.support.relay.world import World
from tests.support.relay.writers import Writers


@pytest.mark.parametrize("mode", ["poll", "wal"])
async def test_a_foreign_outbox_is_relayed(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, mode: str
) -> None:
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, FOREIGN)
    world.settings |= FOREIGN_ENVIRONMENT
    world.settings |= {
        "RELAY_SUBJECT_TEMPLATE": subject_prefix + ".{aggregate_type}.{event_type}",
        "RELAY_EVENT_SOURCE": "/shop/{source_epoch}",
        "RELAY_MODE": mode,
    }
    work = Writers(postgres_database, seed=new_seed(), count=8, aggregates=50, insert=INSERT_FOREIGN)
    async with running(world.relay()) as relay:
        async with work.writing() as ledger:
            await in_mode(relay, mode)
            done = len(ledger.committed)
            while len(ledger.committed) < done + 100:
                await asyncio.sleep(0.01)
        await world.drained(relay)
        async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
            found = await connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY 1"
            )
            assert [name for (name,) in await found.fetchall()] == ["Domain Events", "outbox_parked", "relay_state"]
    verdict = await world.verdict(ledger)
    assert verdict.clean, verdict
    first = next(message for message in await world.messages() if message.is_event)
    assert first.subject == f"{subject_prefix}.basket.basket.changed"
    assert json.loads(first.body) == {"y": 2}
    async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
        written = await connection.execute(
            'SELECT "key", version, created_at FROM shop."Domain Events" WHERE uuid = %s', [first.headers["ce-id"]]
        )
        ((aggregate, version, created_at),) = await written.fetchall()
    assert first.key == (aggregate, version)
    assert first.headers["ce-source"] == "/shop/1"
    assert first.headers["ce-time"] == f"{created_at.isoformat('T', 'microseconds')}Z"
    assert {"Tandem-Hash", "Tandem-Headers", "Tandem-Recorded-After"}.isdisjoint(first.headers)
