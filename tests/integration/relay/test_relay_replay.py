"""A replay publishes the chosen rows once and in order to a stream of its own, and changes nothing else."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from relay.config import RelaySettings
from relay.events.cursor import PollCursor
from relay.events.errors import Refused
from relay.outbox.bookkeeping import ensure_tables
from relay.outbox.table import TableName
from relay.parking.command import ParkedQuestion, run_parked
from relay.replaying.publishing import require_beginning, resume_at
from relay.replaying.replay import ReplayReport
from relay.replaying.request import Misused, ReplayRequest
from relay.replaying.selection import Chunk, Selection
from relay.stream.publish_policy import chain_frames
from tests.integration.relay.test_relay_parked import BAD, with_parked
from tests.support.relay import streams
from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import running
from tests.support.relay.replay_rivals import a_stranger_during_a_replay, two_at_once
from tests.support.relay.replays import has_stored, replay, replay_here, replayed, replaying
from tests.support.relay.restores import insert_versions
from tests.support.relay.world import World
from tests.support.source_mutants import Mutant, noticed


@pytest_asyncio.fixture(loop_scope="session")
async def target(world: World) -> AsyncIterator[str]:
    """Yields the name of a stream for a replay, which is deleted after the test."""
    name = f"{world.stream}_R"
    yield name
    if (await streams.state(world.nats_url, name))[1]:
        await streams.delete_stream(world.nats_url, name)


async def rows(world: World, condition: str = "true") -> list[tuple[str, int]]:
    """Returns (aggregate, version) of the table's rows in the order of positions."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        found = await connection.execute(
            f"SELECT aggregate_id::text, aggregate_version FROM outbox WHERE {condition} ORDER BY position"
        )
        return [(aggregate, version) for aggregate, version in await found.fetchall()]


async def published(world: World) -> None:
    """Lets a relay publish everything."""
    async with running(world.relay()) as relay:
        await world.drained(relay)
        await relay.stop()


async def relay_tables(world: World) -> Sequence[Any]:
    """Returns what the relay keeps in the database: its state, what is parked, its slots."""
    queries = (
        "SELECT to_jsonb(s) FROM relay_state s",
        "SELECT to_jsonb(p) FROM outbox_parked p",
        "SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()",
    )
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        return [await (await connection.execute(query)).fetchall() for query in queries]


def keys(found: Sequence[streams.Stored]) -> list[tuple[str, int]]:
    return [message.key for message in found]


async def test_all_rows_once_in_order_as_in_the_relays_stream(world: World, target: str) -> None:
    """A second run finds nothing to do. What the relay keeps in database and stream stays as it is."""
    await insert_versions(world, 90, "a")
    await published(world)
    before, orders = await relay_tables(world), await world.messages()
    found = await replay(world, target)
    assert (found.code, found.document["complete"], found.document["events"]) == (0, True, 90), found
    there = await replayed(world, target)
    assert keys(there) == await rows(world)
    assert (await relay_tables(world), await world.messages()) == (before, orders)
    same = ("ce-", "Tandem-Position", "Tandem-Aggregate", "Tandem-Version", "Tandem-Recorded", "Tandem-Epoch")
    of_orders = {message.headers["ce-id"]: message for message in orders if message.is_event}
    for message in there:
        twin = of_orders[message.headers["ce-id"]]
        assert (message.subject, message.body) == (f"replay.{target}.{twin.subject}", twin.body)
        for name, value in twin.headers.items():
            if name.startswith(same):
                assert message.headers[name] == value
    again = await replay_here(world, target)
    assert (again.complete, again.events) == (True, 0)
    assert len(await replayed(world, target)) == 90


@pytest.mark.mutant
async def test_mutant_that_touches_the_cursor_is_noticed(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_versions(world, 9, "a")
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await ensure_tables(connection, TableName.parse("outbox"))
        await connection.execute("INSERT INTO relay_state (stream, cursor) VALUES (%s, '1;poll;;;0')", [world.stream])
    before, read = await relay_tables(world), Selection.read

    async def meddling(self: Selection, *given: Any) -> Chunk:
        await self._connection.execute("UPDATE relay_state SET cursor = NULL")
        return await read(self, *given)

    monkeypatch.setattr(Selection, "read", meddling)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):  # the session itself refuses
        await one_session(world, target)
    monkeypatch.setattr("relay.replaying.selection._READ_ONLY", {})
    await replay_here(world, target)
    assert await relay_tables(world) != before


async def one_session(world: World, target: str) -> None:
    """Runs a replay that raises its first error of the database."""
    settings = world.configured()
    given = ReplayRequest.parse(stream=target, start="1", end=None, filters=(), rate=None)
    selection = await Selection.open(settings, given)
    try:
        await selection.read(selection.snapshot, 0, 10, 1_000_000)
    finally:
        await selection.close()


@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.long)])
async def test_killed_at_random_points_it_publishes_each_row_once(world: World, target: str, kills: int) -> None:
    await insert_versions(world, 300 * kills, "a")
    source, stored = random.Random(kills), 0
    for _ in range(kills):
        async with replaying(world, target, "--rate", "400") as victim:
            await has_stored(world, target, stored + source.randint(2, 60))
            await victim.kill()
        stored = (await streams.state(world.nats_url, target))[0]
    found = await replay_here(world, target)
    assert found.complete
    assert keys(await replayed(world, target)) == await rows(world)


async def interrupted(world: World, target: str, stored: int, rate: int) -> ReplayReport:
    """Runs a replay until its stream has so many messages."""
    stop = asyncio.Event()
    task = asyncio.create_task(replay_here(world, target, stop=stop, rate=rate))
    await has_stored(world, target, stored)
    stop.set()
    return await task


@pytest.mark.mutant
async def test_mutant_that_does_not_go_on_from_the_stream_is_noticed(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_versions(world, 300, "a")

    async def forgetful(*given: Any) -> PollCursor | None:
        found = await resume_at(*given)
        return PollCursor(found.epoch, None, found.upto) if found is not None else None

    monkeypatch.setattr("relay.replaying.replay.resume_at", forgetful)
    await interrupted(world, target, 20, 200)
    await replay_here(world, target)
    assert keys(await replayed(world, target)) != await rows(world)


async def test_of_two_at_once_the_first_is_fenced(world: World, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await insert_versions(world, 600, "a")
    first, second = await two_at_once(world, target, monkeypatch)
    assert isinstance(first, Refused), first
    assert "repeat the command" in str(first)
    assert (second.complete, second.events) == (True, 500)
    assert keys(await replayed(world, target)) == await rows(world)


async def test_a_stranger_in_its_stream_ends_a_replay(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await a_stranger_during_a_replay(world, target, monkeypatch)
    assert isinstance(found, Refused), found
    assert "somebody else has published" in str(found)


@pytest.mark.mutant
async def test_mutant_that_passes_over_a_stranger_completes(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mutant(resume_at, "if tail.foreign:", "if False:").at_work():
        found = await a_stranger_during_a_replay(world, target, monkeypatch)
    assert isinstance(found, ReplayReport)
    assert found.complete


@pytest.mark.mutant
async def test_mutant_without_fence_publishes_twice(world: World, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await insert_versions(world, 600, "a")

    def bare(frame: bytes) -> bytes:
        line, end, rest = frame.partition(b"\r\n")
        shorter = re.sub(rb"\r\nNats-Expected-Last-[A-Za-z-]+: [^\r]*", b"", rest)
        *words, head, whole = line.split(b" ")
        sizes = (b"%d" % (int(size) - len(rest) + len(shorter)) for size in (head, whole))
        return b" ".join([*words, *sizes]) + end + shorter

    def unfenced(*given: Any, each: bool) -> list[bytes]:
        return [bare(frame) for frame in chain_frames(*given, each=each)]

    monkeypatch.setattr("relay.stream.sink.chain_frames", unfenced)
    await two_at_once(world, target, monkeypatch)
    assert keys(await replayed(world, target)) != await rows(world)


@pytest.mark.long
async def test_a_replay_that_wakes_up_late_is_fenced(world: World, target: str) -> None:
    await insert_versions(world, 900, "a")
    async with replaying(world, target, "--rate", "300") as first:
        await has_stored(world, target, 40)
        first.signal(signal.SIGSTOP)
        found = await replay_here(world, target)
        first.signal(signal.SIGCONT)
        late = await first.ended()
    assert found.complete
    assert (late.code, "repeat the command" in late.document["error"]) == (1, True), late
    assert keys(await replayed(world, target)) == await rows(world)


async def test_bounds_and_filters_choose_the_rows(world: World, target: str) -> None:
    await insert_versions(world, 30, "a")
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        await connection.execute(
            "UPDATE outbox SET recorded_at = '2026-01-01T00:00:00Z'::timestamptz + position * interval '1 s',"
            " event_type = CASE WHEN position % 3 = 0 THEN 'ORDER_PLACED' ELSE 'ORDER_REVISED' END"
        )
        await connection.commit()
        [(aggregate,)] = await (
            await connection.execute("SELECT aggregate_id::text FROM outbox WHERE position = 7")
        ).fetchall()
    cases: dict[str, dict[str, Any]] = {
        "position BETWEEN 5 AND 9": {"start": "5", "end": "9"},
        "position >= 5 AND position < 9": {"start": "2026-01-01T00:00:05Z", "end": "2026-01-01T01:00:09+01:00"},
        "event_type = 'ORDER_PLACED'": {"filters": ["TYPE=ORDER_PLACED"]},
        f"aggregate_id = '{aggregate}' AND position > 3": {"start": "4", "filters": [f"AGGREGATE={aggregate}"]},
        f"aggregate_id = '{aggregate}'": {"filters": [f"AGGREGATE={aggregate.upper()}"]},
        "event_type = 'ORDER_PLACED' AND position > 20": {
            "start": "21",
            "filters": ["TYPE=ORDER_PLACED", "TYPE=NONE"],
        },
        "false": {"start": "1000"},
    }
    for number, (condition, words) in enumerate(cases.items()):
        to = f"{target}{number}"
        assert (await replay_here(world, to, **words)).complete
        assert keys(await replayed(world, to)) == await rows(world, condition), words
        if not number:
            with pytest.raises(Refused, match="holds the replay"):
                await replay_here(world, to, start="5")
        await streams.delete_stream(world.nats_url, to)


async def test_what_commits_after_the_beginning_is_not_part_of_it(world: World, target: str) -> None:
    """An open transaction has lower positions than rows of the replay, and commits while the replay is interrupted."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as late:
        await late.execute(
            "INSERT INTO outbox (aggregate_id, aggregate_version)"
            " SELECT gen_random_uuid(), 1 FROM generate_series(1, 5)"
        )
        await insert_versions(world, 120, "a")
        committed = await rows(world)
        await interrupted(world, target, 20, 200)
        await late.commit()
    await world.insert(10)
    found = await replay_here(world, target)
    assert found.complete
    assert keys(await replayed(world, target)) == committed


async def test_it_has_all_rows_that_its_snapshot_sees(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are committed just after the replay has looked up the last position."""
    await insert_versions(world, 30, "a")
    opened = Selection.open

    async def while_rows_are_written(settings: RelaySettings, request: ReplayRequest) -> Selection:
        selection = await opened(settings, request)
        await world.insert(5)
        return selection

    monkeypatch.setattr(Selection, "open", while_rows_are_written)
    found = await replay_here(world, target)
    seen = await rows(world, f"pg_visible_in_snapshot(transaction_id, '{found.snapshot}')")
    assert keys(await replayed(world, target)) == seen


async def test_a_signal_ends_it_and_it_goes_on_later(world: World, target: str) -> None:
    await insert_versions(world, 300, "a")
    async with replaying(world, target, "--rate", "100") as first:
        await has_stored(world, target, 20)
        first.signal(signal.SIGTERM)
        ended = await first.ended()
    assert (ended.code, ended.document["complete"]) == (1, False), ended
    assert 0 < ended.document["events"] == len(await replayed(world, target)) < 300
    found = await replay_here(world, target)
    assert (found.complete, found.events) == (True, 300 - ended.document["events"])
    assert keys(await replayed(world, target)) == await rows(world)


@pytest.mark.parametrize(("events", "rate"), [(600, 1_200), pytest.param(200_000, None, marks=pytest.mark.long)])
async def test_while_the_leader_publishes(world: World, target: str, events: int, rate: int | None) -> None:
    await insert_versions(world, events, "a")
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        beside = asyncio.create_task(replay_here(world, target, rate=rate))
        await has_stored(world, target, 50)
        committed = await rows(world)
        await insert_versions(world, events, "b")
        assert (await beside).complete
        await world.drained(relay)
        assert await relay.stop() == 0
    assert keys(await replayed(world, target)) == committed
    assert (await world.verdict()).clean


async def test_notices_stand_where_events_are_parked(world: World, target: str) -> None:
    """As in the relay's stream. What an operator has discarded is left out."""
    async with running(world.relay()) as relay:
        await with_parked(world, relay)
        listed = await run_parked(world.configured(), ParkedQuestion("list"), patience_seconds=120)
        position = int(listed.document["parked"][0]["first_position"])
        discard = ParkedQuestion("discard", BAD, position=position, wait=120)
        assert (await run_parked(world.configured(), discard, patience_seconds=120)).exit_code == 0
        await relay.stop()
    found = await replay_here(world, target, filters=[f"AGGREGATE={BAD}"])
    assert (found.complete, found.events, found.notices) == (True, 1, 2)
    there = [one for one in await streams.read_all(world.nats_url, target) if "Tandem-Position" in one.headers]
    said = [(one.headers.get("Tandem-Parked"), one.headers["Tandem-Version"]) for one in there]
    assert said == [(None, "1"), ("relay", "3"), ("relay", "4")]


async def test_an_event_that_the_replays_stream_refuses_stops_nothing(world: World, target: str) -> None:
    """A notice takes its place, here as for one that fits into no message, and the rows after it follow."""
    await insert_versions(world, 9, "a")
    await world.insert(1, values="gen_random_uuid(), 1, to_json(repeat('x', 2000000))")
    await insert_versions(world, 9, "b")
    found = await replay_here(world, target)
    assert (found.complete, found.events, found.notices) == (True, 18, 1)


async def a_replay_that_outlives_its_messages_is_refused(world: World, target: str) -> None:
    """The stream keeps messages for a second, and the replay takes longer until the first ones are gone."""
    await streams.create_stream(
        world.nats_url, name=target, subjects=[f"replay.{target}.>"], discard="new", allow_atomic=True,
        deny_delete=True, deny_purge=True, max_age=1, duplicate_window=1,
    )  # fmt: skip
    await insert_versions(world, 30, "a")
    with pytest.raises(Refused, match="has lost its first messages, because it keeps them for 1 s only"):
        await replay_here(world, target, rate=10)


async def test_a_stream_that_has_lost_the_beginning_is_not_complete(world: World, target: str) -> None:
    await a_replay_that_outlives_its_messages_is_refused(world, target)


@pytest.mark.mutant
async def test_mutant_that_does_not_look_at_the_beginning_is_noticed(world: World, target: str) -> None:
    with noticed(
        Mutant(require_beginning, "if first is None or REPLAY_HEADER not in first.headers or", "if False and")
    ):
        await a_replay_that_outlives_its_messages_is_refused(world, target)


async def test_streams_that_are_not_the_replays_are_refused(world: World, target: str) -> None:
    await insert_versions(world, 3, "a")
    await published(world)
    messages = await world.messages()
    with pytest.raises(Misused, match="the relay's own stream"):
        await replay_here(world, world.stream)
    await streams.create_stream(
        world.nats_url, name=target, subjects=[f"replay.{target}.>"], discard="new", allow_atomic=True,
        deny_delete=True, deny_purge=True,
    )  # fmt: skip
    await streams.publish(world.nats_url, f"replay.{target}.stranger")
    with pytest.raises(Refused, match="not of this replay"):
        await replay_here(world, target)
    assert await world.messages() == messages
    world.settings["RELAY_STREAM"] = "ELSEWHERE"  # so the stream is not known as the relay's own
    with pytest.raises(Refused, match="does not take subject"):
        await replay_here(world, world.stream)
    assert await world.messages() == messages
