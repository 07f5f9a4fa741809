"""The stream's last messages are there and the barrier that they name is not: epoch, term and lag at such an end.

The streams of these tests let messages be deleted, which a relay refuses otherwise. So the barrier can be removed at
once instead of ageing out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import psycopg
import pytest
import pytest_asyncio

import relay.publishing.session as session
import relay.stream.setup as setup
from relay.adoption.adoption import Adoption
from relay.adoption.comparison import StreamComparison
from relay.adoption.parts import AdoptionParts, NothingToAdopt
from relay.adoption.source import AdoptionSource
from relay.bootstrap import Relay
from relay.events.errors import Closing, SessionClosed
from relay.events.source import Batch
from relay.lag.observer import LagObserver
from relay.leadership_parts import LeadershipParts
from relay.publishing.loop import PublishLoop
from relay.stream.access import nats_options
from relay.stream.end import StreamEnd
from relay.stream.position import read_tail
from relay.wal.reader import WalReader
from service_runtime.process import cancel
from tests.support.relay import streams
from tests.support.relay.log_mode import NO_CHECKPOINTS, in_mode
from tests.support.relay.relay_process import running
from tests.support.relay.restores import SOURCE
from tests.support.relay.tables import OUTBOX
from tests.support.relay.world import World
from tests.support.source_mutants import Mutant, noticed
from tests.support.waiting import eventually

NO_ROW = "DELETE FROM relay_state"
OLD_ROW = "UPDATE relay_state SET last_sequence = 1, cursor = '1;poll;;;0'"
SET_BACK = "UPDATE source SET epoch = 1"


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    postgres_database: str, nats_url: str, stream_name: str, subject_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A database of source epoch 2. Relays make one barrier, as with NO_CHECKPOINTS, and then send events only."""

    async def silent(reader: WalReader) -> None:
        reader._emit_due = math.inf

    monkeypatch.setattr(setup, "_CHECKS", ())
    monkeypatch.setattr(WalReader, "_emit", silent)
    monkeypatch.setattr(session, "RENEWAL_SECONDS", 3_600)
    await streams.create_stream(
        nats_url, name=stream_name, subjects=[f"{subject_prefix}.>"], discard="new", allow_atomic=True
    )
    world = await World.make(postgres_database, nats_url, stream_name, subject_prefix, OUTBOX + SOURCE)
    await execute(world, "UPDATE source SET epoch = 2")
    return world


async def execute(world: World, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement)


@contextlib.asynccontextmanager
async def relay_of(world: World) -> AsyncIterator[Relay]:
    """Runs a relay without its pages, and kills it at the end of the block: it says nothing more to the stream."""
    relay = Relay(world.configured())
    task = asyncio.create_task(relay._loop.run(asyncio.Event()))
    try:
        yield relay
    finally:
        await cancel(task)


def published(relay: Relay, events: int) -> Callable[[], bool]:
    return lambda: relay.metrics.registry.get_sample_value("relay_published_total", {"outcome": "stored"}) == events


async def ended_by_events(world: World) -> int:
    """A relay that reads the log publishes events and is killed. Returns the sequence of the barrier that they name."""
    async with relay_of(world) as relay:
        return await ten_events(world, relay)


async def ten_events(world: World, relay: Relay) -> int:
    """A relay that reads the log publishes events. Returns the sequence of the barrier that they name."""
    await eventually(lambda: relay.status.mode.name == "wal" and relay.status.state == "PUBLISHING", "the log")
    await world.insert(10)
    await eventually(published(relay, 10), "the events")
    return await world.last_named_barrier()


async def remove(world: World, sequence: int) -> None:
    async with streams.client(world.nats_url) as client:
        await streams.jetstream_of(client).delete_msg(world.stream, sequence)


async def orphaned(world: World, *statements: str) -> int:
    """Returns the sequence of the barrier that was removed. Then the database is changed by the statements."""
    barrier = await ended_by_events(world)
    await remove(world, barrier)
    await execute(world, *statements)
    return barrier


async def stands_still(world: World) -> None:
    """A relay says that the stream holds the events of another database, and publishes nothing."""
    before = await streams.state(world.nats_url, world.stream)
    async with relay_of(world) as relay:
        await eventually(lambda: relay.status.state in {"SOURCE_CHANGED", "PUBLISHING"}, "a decision")
        assert relay.status.state == "SOURCE_CHANGED"
        assert "run `python -m relay adopt`" in (relay.status.page()["last_error"] or "")
    assert await streams.state(world.nats_url, world.stream) == before


async def adopted_epoch(world: World) -> int:
    """Returns the source epoch that an adoption gives."""
    record = await Adoption(world.configured()).run(asyncio.Event(), lambda _: None)
    assert record is not None
    return record.source_epoch


async def killed_adoption(world: World, owner: type, method: str, times: int = 1, messages: int = 0) -> None:
    """Kills an adoption at the `times`th call of a method, and when the stream has so many messages more."""
    original, calls, there = getattr(owner, method), [0], asyncio.Event()
    wanted = (await streams.state(world.nats_url, world.stream))[0] + messages

    async def standing(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] < times:
            return await original(*arguments, **named)
        there.set()
        return await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, standing)
        adoption = asyncio.create_task(Adoption(world.configured()).run(asyncio.Event(), lambda _: None))
        await asyncio.wait({adoption, waits := asyncio.create_task(there.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert waits.done(), adoption
        while (await streams.state(world.nats_url, world.stream))[0] < wanted:
            await asyncio.sleep(0.02)
        await cancel(adoption)


@pytest.mark.parametrize("row", [NO_ROW, OLD_ROW], ids=["no row", "an older row"])
async def test_a_database_that_was_set_back_is_noticed_and_gets_an_unused_epoch(world: World, row: str) -> None:
    """The last message has the epoch, even if somebody else has written after it."""
    await orphaned(world, SET_BACK, row)
    await stands_still(world)
    await streams.publish(world.nats_url, f"{world.prefix}.stranger")
    await stands_still(world)
    assert await adopted_epoch(world) == 3


async def test_events_of_an_older_epoch_wait_for_an_adoption(world: World) -> None:
    """The database was adopted for another stream."""
    await orphaned(world, "UPDATE source SET epoch = 3", NO_ROW)
    await stands_still(world)
    assert await adopted_epoch(world) == 3


async def test_an_adoption_that_is_killed_before_it_begins_hides_no_epoch(world: World) -> None:
    """Its claim is the last message then. The database says nothing of the adoption yet."""
    await orphaned(world, SET_BACK, NO_ROW)
    await killed_adoption(world, AdoptionSource, "_draw_line")
    await stands_still(world)
    assert await adopted_epoch(world) > 2


async def test_an_unfinished_adoption_of_another_copy_has_used_its_epoch(world: World) -> None:
    """It published events. Then it was run again, and killed while it compared, so a barrier is last. Then another
    copy was restored, from before the first one was adopted."""
    world.settings["RELAY_MODE"] = "poll"
    async with relay_of(world) as relay:
        await world.insert(10)
        await eventually(published(relay, 10), "the events")
    await world.insert(3)
    await execute(world, "UPDATE source SET timeline = timeline + 1")  # as another failover leaves it
    await killed_adoption(world, AdoptionSource, "read", times=2, messages=4)
    await killed_adoption(world, StreamComparison, "read_stream")
    await execute(world, "UPDATE source SET epoch = 2")
    await stands_still(world)
    assert await adopted_epoch(world) > 3


async def test_an_adoption_whose_session_breaks_keeps_its_epoch(world: World) -> None:
    """What it has said itself is no reason for a higher one."""
    read, calls = AdoptionSource.read, [0]

    async def disturbed(source: AdoptionSource, *room: int) -> Batch:
        calls[0] += 1
        if calls[0] == 1:  # after the claim, and before the end is read
            raise SessionClosed(Closing.SOURCE, "the session breaks")
        return await read(source, *room)

    await world.insert(3)
    await execute(world, "UPDATE source SET timeline = timeline + 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdoptionSource, "read", disturbed)
        assert await adopted_epoch(world) == 3
    assert calls[0] > 2
    assert (await world.verdict()).clean


async def test_no_term_falls_below_one_that_was_used(world: World) -> None:
    """A relay that leads after such an end has a higher term than those that led before, which the stream forgot."""
    for _ in range(3):
        barrier = await ended_by_events(world)
    messages = await world.messages()
    used = streams.terms(messages)[-1]
    assert used > 2
    await remove(world, barrier)
    async with relay_of(world) as relay:
        await eventually(lambda: relay.status.state == "PUBLISHING", "the next term")
    claim = (await world.messages())[len(messages) - 1]
    assert claim.sequence == messages[-1].sequence + 1
    assert int(claim.headers["Tandem-Term"]) > used


async def test_a_leader_is_not_superseded_by_an_end_that_names_no_term(world: World) -> None:
    """Its session ends, and the barrier is gone when it begins the next one. No other relay has led."""
    told: list[str] = []
    async with relay_of(world) as relay:
        relay._loop._failed = partial(noting, told, relay._loop._failed)  # type: ignore[method-assign]
        await remove(world, await ten_events(world, relay))
        await streams.publish(world.nats_url, f"{world.prefix}.stranger")  # so the stream refuses the next message
        await world.insert(10)
        await eventually(published(relay, 20), "the events after it")
    assert told in (["fenced"], ["flight"])  # by how many messages were sent together


def noting(told: list[str], failed: Callable[..., Any], state: str, kind: str, cause: Exception) -> Any:
    told.append(kind)
    return failed(state, kind, cause)


async def test_a_lag_that_cannot_be_known_is_not_told(world: World) -> None:
    """Who has read the end before the barrier went knows the cursor still. Nobody else takes the stream for empty."""
    barrier = await ended_by_events(world)
    before = StreamEnd(nats_options(world.configured()), world.stream)
    after = StreamEnd(nats_options(world.configured()), world.stream)
    async with contextlib.AsyncExitStack() as ends:
        ends.push_async_callback(before.close)
        ends.push_async_callback(after.close)
        assert await before.read() is None
        known = before.cursor
        await remove(world, barrier)
        assert await before.read() is None
        assert (before.cursor, before.orphaned) == (known, False)
        for _ in range(2):
            assert "the lag is not known until a relay publishes" in (await after.read() or "")
            assert (after.cursor, after.orphaned, after.sequence) == (None, True, before.sequence)
    async with standby_of(world) as standby:
        assert "the lag is not known until a relay publishes" in standby.lag.failure()["last_error"]
        assert standby.lag.oldest_age(0.0) is None
        assert standby.lag.page()["backlog_events"] is None
        async with relay_of(world):
            await eventually(lambda: standby.lag.latest is not None, "the lag is known again")


@contextlib.asynccontextmanager
async def standby_of(world: World) -> AsyncIterator[Relay]:
    """Runs only what measures the lag, which has measured twice."""
    relay, measured = Relay(world.configured()), [0]
    measure = relay.lag._measure

    async def measuring(*arguments: Any) -> None:
        await measure(*arguments)
        measured[0] += 1

    setattr(relay.lag, "_measure", measuring)  # noqa: B010 - it is another function to a type checker
    task = asyncio.create_task(relay.lag.run())
    try:
        await eventually(lambda: measured[0] > 1, "a lag")
        yield relay
    finally:
        await cancel(task)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        # This is a cursor without its opening message.
        (Mutant(read_tail, "foreign, gone.orphan, epoch_of(last)", "foreign, gone.orphan"),
         partial(test_a_database_that_was_set_back_is_noticed_and_gets_an_unused_epoch, row=NO_ROW)),
        (Mutant(LeadershipParts.cursor, "(stream_epoch or cursor.epoch, cursor.epoch)", "(cursor.epoch,)"),
         test_events_of_an_older_epoch_wait_for_an_adoption),
        (Mutant(AdoptionParts.cursor, "stream_epoch or self.recorded.epoch", "self.recorded.epoch"),
         test_events_of_an_older_epoch_wait_for_an_adoption),
        (Mutant(AdoptionParts.cursor, "< stream_epoch != self._given", "< 0"),
         partial(test_a_database_that_was_set_back_is_noticed_and_gets_an_unused_epoch, row=OLD_ROW)),
        (Mutant(AdoptionParts.cursor, "stream_epoch != self._given", "stream_epoch"),
         test_an_adoption_whose_session_breaks_keeps_its_epoch),
        (Mutant(AdoptionParts.barriers, "lines=lines", 'lines=""'),
         test_an_unfinished_adoption_of_another_copy_has_used_its_epoch),
        (Mutant(read_tail, "info.messages, barrier, None", "info.messages, 0, None"),
         test_no_term_falls_below_one_that_was_used),
        (Mutant(PublishLoop._sessions, " and session.tail.orphan is None", ""),
         test_a_leader_is_not_superseded_by_an_end_that_names_no_term),
        (Mutant(StreamEnd._read, "message.sequence != self.sequence", "True"),
         test_a_lag_that_cannot_be_known_is_not_told),
        (Mutant(LagObserver._measure, "end.orphaned and stored is None", "False"),
         test_a_lag_that_cannot_be_known_is_not_told),
    ],
    ids=["a cursor without its opening message has no epoch", "only the cursor's epoch", "the database's epoch is old",
         "the row's epoch is old", "its own epoch is used", "an adoption names no epoch", "terms begin anew",
         "a bound is a term", "what was read is forgotten", "no cursor is the beginning"],
)  # fmt: skip
async def test_mutant_at_an_orphaned_end_is_noticed(world: World, mutant: Mutant, test: Callable[..., Any]) -> None:
    with noticed(mutant, or_raises=(NothingToAdopt,)):
        await test(world)


ALLOWED = "import relay.stream.setup as setup\nsetup._CHECKS = ()\n"


@pytest.mark.long
async def test_a_leader_that_wakes_up_after_such_an_end_finds_a_higher_term(world: World) -> None:
    async with running(world.relay(prelude=ALLOWED + NO_CHECKPOINTS)) as leader:
        await in_mode(leader, "wal")
        await world.insert(10)
        while len(await world.events()) < 10:
            await asyncio.sleep(0.02)
        leader.signal(signal.SIGSTOP)
        used = streams.terms(await world.messages())[-1]
        await remove(world, await world.last_named_barrier())
        async with running(world.relay(prelude=ALLOWED)) as other:
            await other.wait_for_state("PUBLISHING")
            await world.insert(10)
            leader.signal(signal.SIGCONT)
            await leader.wait_for_state("STANDBY")
            await world.insert(10)
            await world.drained(other)
            assert (await leader.page())["leader"] is False
    assert (await world.verdict()).clean
    terms = [int(term) for one in await world.messages() if (term := one.headers.get("Tandem-Term")) is not None]
    assert terms == sorted(terms)
    assert terms[-1] > used
