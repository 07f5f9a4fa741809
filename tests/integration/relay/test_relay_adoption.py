"""After a restore the relay stands still until `adopt`; then nothing is lost, nothing repeated, and what is gone named.

The restored database is a copy within the same cluster that says to come from another one; its rows have transaction
ids that the cluster has yet to come to. Real restores and promotions are in `tests/robustness/test_relay_restore.py`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from relay.outbox.leadership import lock_key
from tests.fixtures.postgres import database
from tests.support.relay import streams
from tests.support.relay.adoption_preludes import BY_THE_DISPLAY, COUNTED, INTERRUPTED
from tests.support.relay.log_mode import KNOWN, in_mode, under_writers
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.restores import (
    SOURCE,
    adopt,
    adopting,
    books,
    burn_transactions,
    dying,
    insert_versions,
    restore,
)
from tests.support.relay.tables import OUTBOX
from tests.support.relay.world import World

#: Further than the cluster comes by itself while a test runs; `burn_transactions` takes it there.
SHIFT = 20_000


@pytest_asyncio.fixture(loop_scope="session")
async def before(postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str) -> World:
    """A database that names its source, with events in the stream."""
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    world.settings["RELAY_MODE"] = "poll"
    await insert_versions(world, 90, "published")
    async with running(world.relay()) as relay:
        await world.drained(relay)
        assert await relay.stop() == 0
    return world


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(postgres_url: str) -> AsyncIterator[str]:
    """Another database."""
    async with database(postgres_url) as url:
        yield url


async def goes_on(world: World, lost: int) -> None:
    """Relays lead on, past the ids of the restored rows, and the books are right."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "poll")
        await insert_versions(world, 30, "later")
        await world.drained(relay)
        await burn_transactions(world, SHIFT + 2_000)
        await insert_versions(world, 30, "much later")
        await world.drained(relay)
        page = await relay.page()
        assert (page["source_epoch"], page["adoption"]["lost_events"]) == (2, lost)
        assert await relay.stop() == 0
    found = await books(world)
    assert found.clean, f"{found}\n{relay.text}"
    assert len(found.lost_by_source) == lost
    assert KNOWN not in relay.text  # the stream itself had to refuse nothing


async def test_what_the_stream_lacks_is_published_and_what_the_source_lost_is_named(
    before: World, elsewhere: str
) -> None:
    world = await restore(before, elsewhere, shift=SHIFT)
    await insert_versions(before, 60, "lost")
    async with running(before.relay()) as relay:
        await before.drained(relay)
        await relay.stop()
    await insert_versions(world, 30, "since the restore")  # their positions are those of the lost ones
    lost = (await books(world)).lost_by_source
    async with running(world.relay()) as relay:
        page = await relay.wait_for_state("SOURCE_CHANGED")
        assert "run `python -m relay adopt`" in page["last_error"]
        await lag_is_unknown(relay)
        first, second = await asyncio.gather(adopt(world), adopt(world))
        assert (first.code, second.code) == (0, 0), f"{first}\n{second}"
        if not first.document["adopted"]:
            first, second = second, first
        assert not second.document["adopted"], second
        assert "nothing to adopt" in second.document["message"]
        found = first.found
        assert (found["source_epoch"], found["published"], found["lost_events"]) == (2, 30, 60)
        assert {one["event_id"] for one in found["lost"]} == lost
        assert found["lost_aggregates"] == len({one["aggregate_id"] for one in found["lost"]}) == 20
        # the relay that stood still leads on by itself, and says what the adoption found
        page = await in_mode(relay, "poll")
        assert page["adoption"] == found
        await relay.stop()
    await goes_on(world, lost=60)
    again = await adopt(world)
    assert (again.code, again.document["adopted"]) == (0, False)
    messages = await world.messages()
    epochs = [message.headers["Tandem-Epoch"] for message in messages if message.is_event]
    assert epochs == ["1"] * 150 + ["2"] * 90
    # Barriers, from which the read side learns the epoch, pass to it behind the last event that was missing.
    last = [message for message in messages if message.is_event][179].sequence
    for message in messages:
        if not message.is_event:
            assert message.headers["Tandem-Epoch"] == ("1" if message.sequence < last else "2")


async def test_rows_that_no_relay_had_published_before_the_dump(before: World, elsewhere: str) -> None:
    await insert_versions(before, 60, "in the dump only")
    world = await restore(before, elsewhere, shift=SHIFT)
    assert (await adopt(world)).found["published"] == 60
    assert (await books(world)).clean


@pytest.mark.mutant
async def test_a_relay_that_judged_restored_rows_by_their_transactions_would_be_caught(
    before: World, elsewhere: str
) -> None:
    """The mutant: no floor. Once the cluster comes to the restored ids, restored rows look new."""
    world = await restore(before, elsewhere, shift=SHIFT)
    assert (await adopt(world)).found["published"] == 0
    mutant = "import relay.outbox.adoption_record as r\nasync def none(*a): return 0\nr.AdoptionRecords.floor = none"
    async with running(world.relay(prelude=mutant)) as relay:
        await in_mode(relay, "poll")
        await burn_transactions(world, SHIFT + 2_000)
        deadline = time.monotonic() + 120
        while not (await world.verdict()).repeated:
            assert time.monotonic() < deadline, relay.text
            await asyncio.sleep(0.05)


async def lag_is_unknown(relay: RelayProcess) -> None:
    """Transaction ids of two clusters cannot be compared, so no figure is made of them."""
    deadline = time.monotonic() + 120
    while (await relay.page())["backlog_events"] is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


#: Where an adoption is killed, in the order in which it comes there.
STEPS = (
    ("relay.publishing.session", "Publishing.claim"),
    ("relay.adoption.source", "AdoptionSource._draw_line"),
    ("relay.adoption.comparison", "StreamComparison.read_stream"),
    ("relay.outbox.adoption_record", "AdoptionRecords.found"),
    ("relay.publishing.session", "Publishing._send"),
    ("relay.publishing.session", "Publishing._carry"),
    ("relay.publishing.session", "Publishing._carry"),
)


@pytest.mark.parametrize("steps", [STEPS[1::4], pytest.param(STEPS, marks=pytest.mark.long)], ids=["some", "all"])
async def test_killed_at_any_step_it_can_be_run_again(
    before: World, elsewhere: str, steps: Sequence[tuple[str, str]]
) -> None:
    """Writers never stop meanwhile, and a relay waits to lead."""
    await insert_versions(before, 3_000, "in the dump only")
    world = await restore(before, elsewhere, shift=SHIFT)
    async with running(world.relay()) as relay:
        async with under_writers(world, aggregates=20, count=4):
            await relay.wait_for_state("SOURCE_CHANGED")
            for module, method in steps:
                assert (await adopt(world, dying(module, method))).code == -9, method
                assert (await relay.page())["state"] != "PUBLISHING"
            found = (await adopt(world)).found
            assert found["published"] >= 3_000
            await in_mode(relay, "poll")
        await world.drained(relay)
        await relay.stop()
    found_books = await books(world)
    assert found_books.clean, found_books
    assert not found_books.lost_by_source
    assert KNOWN not in relay.text


NO_LOCK = "import relay.adoption.source as a\na.LOCK_MODE = 'ACCESS SHARE'"


@pytest.mark.parametrize("mutant", ["", pytest.param(NO_LOCK, marks=pytest.mark.long)], ids=["", "mutant"])
async def test_a_writer_in_the_middle_of_a_transaction_is_waited_for(
    before: World, elsewhere: str, mutant: str
) -> None:
    """Its row has a position below the floor. The mutant does not wait, and never looks at that row again."""
    world = await restore(before, elsewhere, shift=SHIFT)
    async with await psycopg.AsyncConnection.connect(world.database_url) as writer:
        await writer.execute("INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (gen_random_uuid(), 1)")
        await insert_versions(world, 3, "committed behind it")
        task = asyncio.create_task(adopt(world, mutant))
        async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as looker:
            while not task.done():
                waiting = await looker.execute(
                    "SELECT FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass"
                )
                if waiting.rowcount:
                    break
                await asyncio.sleep(0.05)
        assert task.done() == bool(mutant)
        await writer.commit()
        assert (await task).found["published"] == (3 if mutant else 4)
    async with running(world.relay()) as relay:
        await world.drained(relay)
        await relay.stop()
    assert (await books(world)).missing == bool(mutant)


@pytest.mark.parametrize("mutant", ["", BY_THE_DISPLAY], ids=["", "mutant"])
async def test_an_adoption_leads_once_and_is_done_when_its_end_is_stored(before: World, mutant: str) -> None:
    """The mutant asks the status, which has forgotten the cursor of a leadership that is over."""
    async with await psycopg.AsyncConnection.connect(before.database_url, autocommit=True) as connection:
        for prelude, ends, takes in (("", True, 2), (INTERRUPTED, False, 1)):
            await connection.execute("UPDATE source SET timeline = timeline + 1")  # as another failover leaves it
            adopted = await adopt(before, COUNTED + prelude + mutant)
            assert f"leaderships: {takes if mutant else 1}\n" in adopted.errors, adopted
            assert adopted.document["adopted"] == (ends if mutant else True), adopted


BLIND = "import relay.adoption.adoption as a\na._LOOK_AGAIN_SECONDS = 3_600"


@pytest.mark.parametrize("mutant", ["", pytest.param(BLIND, marks=pytest.mark.long)], ids=["", "mutant"])
async def test_one_that_waits_for_the_lock_ends_when_another_was_through_and_a_relay_leads(
    before: World, elsewhere: str, mutant: str
) -> None:
    """It is stopped while the other adopts, so the relay has the lock first. The mutant waits for ever."""
    world = await restore(before, elsewhere, shift=SHIFT)
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        key = lock_key("outbox", world.settings["RELAY_STREAM"])
        await connection.execute("SELECT pg_advisory_lock(%s::int, %s::int)", key)
        async with adopting(world, prelude=mutant) as waiting:
            assert waiting.stderr is not None
            while b"waiting for the leader's lock" not in (line := await waiting.stderr.readline()):
                assert line, "ended"
            waiting.send_signal(signal.SIGSTOP)
            await connection.execute("SELECT pg_advisory_unlock(%s::int, %s::int)", key)
            assert (await adopt(world)).found["lost_events"] == 0
            async with running(world.relay()) as relay:
                await in_mode(relay, "poll")
                waiting.send_signal(signal.SIGCONT)
                if mutant:
                    await asks_for_the_lock(connection, seconds=3)
                    assert waiting.returncode is None
                else:
                    out, _ = await waiting.communicate()
                    assert (waiting.returncode, json.loads(out)["adopted"]) == (0, False)
                assert await relay.stop() == 0


async def asks_for_the_lock(connection: psycopg.AsyncConnection[Any], seconds: float) -> None:
    """Returns when a session of this database asks for a leader's lock that many seconds from now."""
    deadline = time.monotonic() + 120
    now = (await (await connection.execute("SELECT clock_timestamp()")).fetchone() or (None,))[0]
    while not (
        await connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory%%'"
            " AND query_start > %s::timestamptz + make_interval(secs => %s)",
            [now, seconds],
        )
    ).rowcount:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.long
async def test_what_has_aged_out_of_the_stream_is_not_published_again(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, elsewhere: str
) -> None:
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    world.settings["RELAY_MODE"] = "poll"
    await streams.create_stream(
        nats_url, name=stream_name, subjects=[f"{subject_prefix}.>"], discard="new", allow_atomic=True,
        deny_delete=True, deny_purge=True, max_age=2, duplicate_window=1,
    )  # fmt: skip
    await insert_versions(world, 90, "aged")
    async with running(world.relay()) as relay:
        await world.drained(relay)
        while any(message.is_event for message in await world.messages()):
            await asyncio.sleep(0.1)
        await streams.update_stream(nats_url, stream_name, max_age=0)
        await insert_versions(world, 30, "kept")
        await world.drained(relay)
        await relay.stop()
    await insert_versions(world, 60, "in the dump only")
    restored = await restore(world, elsewhere, shift=0)  # the old source's ids, as its last cursor knows them
    await insert_versions(restored, 30, "since the restore")
    assert (await adopt(restored)).found["published"] == 90
    events = [message for message in await restored.messages() if message.is_event]
    assert len(events) == len({message.headers["ce-id"] for message in events}) == 120


@pytest.mark.long
async def test_a_stream_lost_after_an_adoption_is_filled_again(before: World, elsewhere: str) -> None:
    """Restored rows too, whatever their transaction ids say."""
    world = await restore(before, elsewhere, shift=SHIFT)
    assert (await adopt(world)).found["source_epoch"] == 2
    await streams.delete_stream(world.nats_url, world.stream)
    async with running(world.relay()) as relay:
        await world.drained(relay)
        assert (await relay.page())["backlog_events"] == 0
        await relay.stop()
    found = await books(world)
    assert found.clean, found
    await goes_on(world, lost=0)


async def test_a_second_restore_gets_a_higher_epoch_than_the_stream_has(
    before: World, elsewhere: str, postgres_url: str
) -> None:
    """From the first dump again: it knows nothing of the epoch that the stream has come to."""
    world = await restore(before, elsewhere, shift=SHIFT)
    assert (await adopt(world)).found["source_epoch"] == 2
    async with database(postgres_url) as third:
        again = await restore(before, third, shift=2 * SHIFT)
        found = (await adopt(again)).found
        assert (found["source_epoch"], found["published"], found["lost_events"]) == (3, 0, 0)


async def test_what_stands_in_the_way_is_named(before: World, elsewhere: str) -> None:
    healthy = await adopt(before)
    assert (healthy.code, healthy.document["adopted"]) == (0, False)
    world = await restore(before, elsewhere, shift=SHIFT)
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("SELECT setval(pg_get_serial_sequence('outbox', 'position'), 7)")
        refused = await adopt(world)
        assert refused.code == 1
        assert "is at 7, but table outbox has rows up to 90: SELECT setval(" in refused.document["message"]
        await connection.execute("SELECT setval(pg_get_serial_sequence('outbox', 'position'), 90)")
        await connection.execute("DROP TABLE source")
        refused = await adopt(world)
        assert refused.code == 1
        assert "table source does not exist" in refused.document["message"]
    before.settings["RELAY_NATS_URL"] = "nats://127.0.0.1:1"
    down = await adopt(before)
    assert down.code == 3
    assert "NATS" in down.document["message"]
