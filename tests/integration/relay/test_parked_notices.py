"""The stream says which events are parked: one notice for each, through crashes, retries, discards and adoptions."""

from __future__ import annotations

import time

import psycopg
import pytest

from tests.integration.relay.test_relay_parked import BAD, SECONDS, parked, put_right, versions, with_parked, write
from tests.support.relay.log_mode import in_mode
from tests.support.relay.relay_process import RelayProcess, running
from tests.support.relay.restores import SOURCE, adopt, dying
from tests.support.relay.tables import OUTBOX
from tests.support.relay.world import World

PARKED = [("parked", 2), ("parked", 3), ("parked", 4)]
#: The mutant: an event is parked, and nothing takes its place.
SILENT = """
import relay.events.parked_notice as module
module.ParkedNotices.parked = lambda self, event, base, at, reason: None
"""
#: The mutant: every event of a parked aggregate is parked, also one from before the first parked one.
BLIND_TO_POSITIONS = """
import relay.parking.parked_aggregates as module
module.ParkedAggregates.holds = lambda self, event: (event.aggregate_type, event.aggregate_id) in self._first
"""
#: The mutant: a discard that was begun does not ask the stream what it has already.
FORGETS = """
import relay.parking.requests as module
async def begin(self, request, stored_sequence):
    return frozenset()
module.ParkedRequests.begin = begin
"""


async def told(world: World) -> list[tuple[str, int]]:
    """What the stream says about parked events, in its order: (word, version)."""
    said = []
    for message in await world.messages():
        headers = message.headers
        word = "parked" if "Tandem-Parked" in headers else headers.get("Tandem-Unparked")
        if word is None:
            continue
        said.append((word, int(headers["Tandem-Version"])))
        if not message.is_event:
            assert (message.subject, message.body) == (f"{world.prefix}.barrier", b"")
            assert headers["Tandem-Aggregate-Id"] == BAD
            assert headers["Tandem-Parked" if word == "parked" else "Tandem-Unparked"] in {"relay", "discarded"}
    return said


async def write_four(world: World) -> None:
    """Four versions in one transaction, of which the second fits in no subject."""
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        for version, event_type in ((1, "E"), (2, "not a subject"), (3, "E"), (4, "E")):
            await connection.execute(
                "INSERT INTO outbox (aggregate_id, aggregate_version, event_type) VALUES (%s, %s, %s)",
                [BAD, version, event_type],
            )


async def nothing_is_parked(world: World, relay: RelayProcess) -> None:
    deadline = time.monotonic() + SECONDS
    while (await parked(world, "list"))[1]["parked"]:
        assert time.monotonic() < deadline, relay.text


@pytest.mark.parametrize("mode", ["wal", pytest.param("poll", marks=pytest.mark.long)])
async def test_a_notice_takes_the_place_of_each_parked_event(world: World, mode: str) -> None:
    world.settings["RELAY_MODE"] = mode
    async with running(world.relay()) as relay:
        await in_mode(relay, mode)
        await with_parked(world, relay)
        assert await told(world) == PARKED
        first, second, _ = (one.headers for one in await world.messages() if "Tandem-Parked" in one.headers)
        assert first["Tandem-Parked-Reason"].startswith("event_type%20cannot%20stand")
        assert second["Tandem-Parked-Reason"] == "an%20earlier%20event%20of%20its%20aggregate%20is%20parked"
        assert first["Tandem-Event-Type"] == "not%20a%20subject"
        await put_right(world)
        assert (await parked(world, "retry", BAD))[0] == 0
        await write(world, 5, "not a subject")
        await world.drained(relay)
        assert (await parked(world, "discard", BAD))[0] == 0
        await write(world, 6)
        await world.drained(relay)
        await relay.stop()
    async with running(world.relay()) as relay:
        await world.drained(relay)
        await relay.stop()
    retried = [("retried", version) for version in (2, 3, 4)]
    assert await told(world) == [*PARKED, *retried, ("parked", 5), ("discarded", 5)]
    assert await versions(world) == [1, 2, 3, 4, 6]


@pytest.mark.mutant
async def test_mutant_that_parks_without_a_notice_is_noticed(world: World) -> None:
    async with running(world.relay(prelude=SILENT)) as relay:
        await with_parked(world, relay)
        assert await told(world) != PARKED


async def test_a_leader_killed_between_parking_and_the_notice(world: World) -> None:
    """The next leader finds the event parked, with the reason of then, and publishes the notice once."""
    async with running(world.relay(prelude=dying("relay.parking.parked_aggregates", "ParkedAggregates.park"))) as relay:
        await write_four(world)
        await relay.ended(SECONDS)
    assert await told(world) == []
    async with running(world.relay()) as relay:
        await world.drained(relay)
        await relay.stop()
    assert await told(world) == PARKED
    [first, *_] = [one.headers for one in await world.messages() if "Tandem-Parked" in one.headers]
    assert first["Tandem-Parked-Reason"].startswith("event_type%20cannot%20stand")
    assert await versions(world) == [1]


@pytest.mark.long
@pytest.mark.mutant
async def test_mutant_that_parks_what_came_before_is_noticed(world: World) -> None:
    async with running(world.relay(prelude=dying("relay.parking.parked_aggregates", "ParkedAggregates.park"))) as relay:
        await write_four(world)
        await relay.ended(SECONDS)
    async with running(world.relay(prelude=BLIND_TO_POSITIONS)) as relay:
        await world.drained(relay)
        await relay.stop()
    assert await versions(world) != [1]


@pytest.mark.parametrize(
    "mutant", ["", pytest.param(FORGETS, marks=[pytest.mark.mutant, pytest.mark.long])], ids=["", "mutant"]
)
async def test_a_leader_killed_in_the_middle_of_a_discard_tells_it_once(world: World, mutant: str) -> None:
    prelude = dying("relay.publishing.session", "Publishing._announce_discard")
    async with running(world.relay(prelude=prelude)) as relay:
        await with_parked(world, relay)
        await parked(world, "discard", BAD, "--wait", "0")
        await relay.ended(SECONDS)
    discarded = [("discarded", version) for version in (2, 3, 4)]
    assert await told(world) == [*PARKED, *discarded]
    async with running(world.relay(prelude=mutant)) as relay:
        await nothing_is_parked(world, relay)
        await relay.stop()
    # The server's window refuses the mutant's second notices, which a relay must not need.
    assert await told(world) == [*PARKED, *discarded]
    assert ("knows the id" in relay.text) == bool(mutant)


async def park_again(world: World) -> None:
    """Brings back what is parked, as a restore of the database to an earlier moment does."""
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO outbox_parked SELECT position, aggregate_type, aggregate_id, aggregate_version, 'x', now()"
            " FROM outbox WHERE aggregate_id = %s AND aggregate_version > 1",
            [BAD],
        )
        await connection.execute("DROP TABLE relay_request")


@pytest.mark.parametrize(
    "before", ["parked", *(pytest.param(action, marks=pytest.mark.long) for action in ("retry", "discard"))]
)
async def test_an_adoption_keeps_the_stream_and_what_is_parked_in_step(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, before: str
) -> None:
    """Of a database as it is, or set back to a moment before the retry or the discard."""
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    async with running(world.relay()) as relay:
        await with_parked(world, relay)
        if before == "retry":
            await put_right(world)
        if before != "parked":
            assert (await parked(world, before, BAD))[0] == 0
            await park_again(world)
        await relay.stop()
    said = await told(world)
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        await connection.execute("UPDATE source SET timeline = 7")
    found = (await adopt(world)).found
    assert (found["published"], found["lost_events"]) == (3 if before == "discard" else 0, 0)
    code, document = await parked(world, "list")
    assert (code, [one["events"] for one in document["parked"]]) == (0, [] if before == "retry" else [3])
    assert await told(world) == [*said, *(PARKED if before == "discard" else [])]
    assert await versions(world) == ([1, 2, 3, 4] if before == "retry" else [1])
