"""A crash of Postgres forgets what was rolled back, and draws its ids again: no row may be passed over."""

from __future__ import annotations

import psycopg
import pytest

from relay.events.cursor import PollCursor
from relay.outbox.database import connect
from relay.sources.poll import PollSource
from tests.conformance.event_source_suite import until_shown
from tests.conformance.test_poll_source import outbox_table
from tests.fixtures.private_servers import PrivatePostgres
from tests.support.relay.tables import OUTBOX, create

#: Nobody writes to the log's file but whoever must.
NOBODY_FLUSHES = {"wal_writer_delay": "10s", "bgwriter_delay": "10s", "autovacuum": "off"}
INSERT = "INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (gen_random_uuid(), 1) RETURNING transaction_id"


class WithoutFlush(PollSource):
    """Mutant: what has ended for this server is taken to have ended for good."""

    async def _flush(self) -> None:
        return None


async def _positions(source: PollSource) -> list[int]:
    """All that is there to be read."""
    found: list[int] = []
    while True:
        batch = await source.read(100, 1 << 20)
        found += [event.position for event in batch.events]
        if batch.reached is not None and not batch.events:
            return found


async def _found_after_a_crash(private_postgres: PrivatePostgres, kind: type[PollSource]) -> tuple[bool, list[int]]:
    """Whether an id that the source had seen ended was drawn again after the crash, and what was found then."""
    server = await private_postgres(settings=NOBODY_FLUSHES)
    url = await server.ensure_database("crashing")
    await create(url, OUTBOX)
    table = await outbox_table(url)
    connection = await connect(url, "source under test")
    source = kind(table, connection, 1)
    await source.resume(PollCursor(1))
    assert await _positions(source) == []
    async with await psycopg.AsyncConnection.connect(url) as writer:
        ended = set()
        for _ in range(5):
            row = await (await writer.execute(INSERT)).fetchone()
            assert row is not None
            ended.add(row[0])
            await writer.rollback()
    assert await _positions(source) == []
    cursor = source.cursor
    await server.kill()
    await connection.close()
    await server.start()
    drawn = set()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as writer:
        for _ in range(5):
            row = await (await writer.execute(INSERT)).fetchone()
            assert row is not None
            drawn.add(row[0])
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as again:
        resumed = PollSource(table, again, 1)
        await resumed.resume(cursor)
        found = await _positions(resumed)
        rows = await (await again.execute("SELECT position FROM outbox ORDER BY 1")).fetchall()
    assert set(found) <= {position for (position,) in rows}
    return bool(ended & drawn), found


async def test_no_row_is_passed_over(private_postgres: PrivatePostgres) -> None:
    again, found = await _found_after_a_crash(private_postgres, PollSource)
    assert not again
    assert len(found) == 5


@pytest.mark.mutant
async def test_mutant_without_flush_passes_over_rows(private_postgres: PrivatePostgres) -> None:
    # Each process of the server flushes now and then, if only every ten seconds; one may do so just before the crash.
    await until_shown(
        lambda: _found_after_a_crash(private_postgres, WithoutFlush), lambda shown: shown[0] and len(shown[1]) < 5
    )
