"""Ids of any letters: through a real stream to a consumer, and compared with the table again by an adoption."""

from __future__ import annotations

import psycopg
import pytest
import pytest_asyncio

from relay.outbox.table import TableName, find_table
from relay.parking import requests as parked_requests
from relay.parking.requests import ParkedRequests, Request
from relay.stream.access import nats_options
from relay.stream.history import StreamHistory
from tests.support.header_values import CASES, conforming
from tests.support.relay.relay_process import running
from tests.support.relay.restores import SOURCE, adopt
from tests.support.relay.world import World

TEXTS = sorted(text for text, _ in CASES)
OUTBOX = """
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event_id text NOT NULL, aggregate_type text NOT NULL, aggregate_id text NOT NULL, event_type text NOT NULL,
    payload text NOT NULL DEFAULT '{}', recorded_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON outbox (transaction_id);
"""
#: The mutant takes header values for the texts.
UNDECODED = "import relay.adoption.comparison as c\nc.decode = lambda value: value"


@pytest_asyncio.fixture(loop_scope="session")
async def published(postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> World:
    """A world with an event for each text, all of them in the stream."""
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    world.settings |= {"RELAY_MODE": "poll", "RELAY_SUBJECT_TEMPLATE": subject_prefix + ".{partition}"}
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type)"
            " SELECT one, one, one, one FROM unnest(%s::text[]) AS one",
            [TEXTS],
        )
    async with running(world.relay()) as relay:
        await world.drained(relay)
        assert (await relay.page())["parked_aggregates"] == 0
        assert await relay.stop() == 0
    return world


@pytest.mark.parametrize("mutant", ["", UNDECODED], ids=["", "mutant"])
async def test_they_are_read_and_compared_as_they_were_recorded(published: World, mutant: str) -> None:
    events = [one.headers for one in await published.messages() if one.is_event]
    for name in ("ce-id", "ce-subject", "ce-type", "Tandem-Aggregate"):
        assert sorted(conforming(headers[name]) for headers in events) == TEXTS, name
    async with await psycopg.AsyncConnection.connect(published.database_url, autocommit=True) as connection:
        await connection.execute("UPDATE source SET timeline = timeline + 1")  # as a failover leaves it
    found = (await adopt(published, mutant)).found
    assert bool(found["published"]) == bool(found["lost_events"]) == bool(mutant), found


@pytest.mark.parametrize("mutant", [False, True], ids=["", "mutant"])
async def test_a_retry_that_broke_off_knows_what_the_stream_has(
    published: World, monkeypatch: pytest.MonkeyPatch, mutant: bool
) -> None:
    if mutant:
        monkeypatch.setattr(parked_requests, "decode", lambda value: value)
    settings, name = published.configured(), TableName.parse("outbox")
    history = StreamHistory(nats_options(settings), settings.stream)
    async with await psycopg.AsyncConnection.connect(published.database_url, autocommit=True) as connection:
        table = await find_table(connection, name, settings.columns)
        requests = ParkedRequests(table, connection, history, settings.stream)
        await connection.execute(
            "INSERT INTO outbox_parked (position, aggregate_type, aggregate_id)"
            " SELECT position, aggregate_type, aggregate_id FROM outbox"
        )
        for text in (" X ", "A B", "emoji🍵"):
            begun = Request(1, "retry", text, text, position=None, begun_behind=0)
            await requests.begin(begun, 0)
            assert bool(await requests.waiting(begun, 10, 1 << 20)) == mutant, text
