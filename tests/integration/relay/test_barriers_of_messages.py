"""What messages leave to the barrier that they name, on a real NATS: also when that barrier has aged out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from functools import partial

import psycopg
import pytest

from relay.events.barrier import BarrierBuilder
from relay.events.cursor import WalCheckpoint, WalCursor, anchor_of, anchored, parse
from relay.events.errors import Refused
from relay.events.message import Message, MessageBuilder
from relay.events.snapshot import Snapshot
from relay.events.tail import Orphan, Tail
from relay.stream.history import StreamHistory
from relay.stream.jetstream_api import JetStreamApi
from relay.stream.nats_connection import NatsConnection, NatsOptions
from relay.stream.position import _holder, _long_text, read_tail
from relay.stream.publish_policy import chain_frames
from relay.stream.sink import JetStreamSession
from tests.support.queries.read_side import eventually
from tests.support.relay import streams
from tests.support.relay.events import EVENT, builder
from tests.support.relay.log_mode import KNOWN, NO_CHECKPOINTS, in_mode
from tests.support.relay.relay_process import running
from tests.support.relay.sinks import plan_for, sink_on, store
from tests.support.relay.world import World
from tests.support.source_mutants import Mutant, noticed

TERM = 4
OLD = WalCursor(2, WalCheckpoint("slot", "p", 16, Snapshot(5, 6)), 32)
NEW = WalCursor(2, WalCheckpoint("slot", "p", 64, Snapshot(7, 9, (8,)), (8,)), 96)
LONG = WalCursor(2, WalCheckpoint("slot", "p", 64, Snapshot(7, 999, tuple(range(7, 300)))), 96)


class Publisher:
    """Publishes barriers and events to a stream, as a relay of term TERM does, whatever the stream has."""

    def __init__(self, url: str, stream: str, prefix: str) -> None:
        self.url, self.stream, self.prefix = url, stream, prefix
        self._barriers = BarrierBuilder(f"{prefix}.barrier", publish_epoch=1, term=TERM)
        self._messages: MessageBuilder = builder(source_epoch=2, publish_epoch=1, term=TERM, splices_personal=False)

    async def put(self, *messages: Message) -> None:
        async with streams.client(self.url) as client:
            jetstream = streams.jetstream_of(client)
            for message in messages:
                head = message.headers.decode()
                headers = dict(line.split(": ", 1) for line in head.splitlines())
                subject = f"{self.prefix}.{message.subject.decode().replace('.', '_')}"
                await jetstream.publish(subject, message.body, headers=headers)

    def barrier(self, cursor: WalCursor) -> Message:
        return self._barriers.barrier(cursor, None)._replace(subject=b"barrier")

    def event(self, position: int, base: str, lsn: int = 112) -> Message:
        cursor = dataclasses.replace(NEW, commit_lsn=lsn, index=1, transaction=position, behind=position)
        return self._messages.event(EVENT._replace(position=position), base, cursor.mark)

    async def remove(self, *sequences: int) -> None:
        async with streams.client(self.url) as client:
            for sequence in sequences:
                await streams.jetstream_of(client).delete_msg(self.stream, sequence)

    @contextlib.asynccontextmanager
    async def api(self) -> AsyncIterator[JetStreamApi]:
        connection = await NatsConnection.open(NatsOptions((self.url,)), "tests")
        try:
            yield JetStreamApi(connection)
        finally:
            await connection.end()

    async def tail(self) -> Tail:
        async with self.api() as api:
            info = await api.stream_info(self.stream)
            assert info is not None
            return await read_tail(api, self.stream, info, f"{self.prefix}.barrier")

    def history(self) -> StreamHistory:
        return StreamHistory(NatsOptions((self.url,)), self.stream)


@pytest.fixture
async def publisher(nats_url: str, stream_name: str, subject_prefix: str) -> Publisher:
    await streams.create_stream(nats_url, name=stream_name, subjects=[f"{subject_prefix}.>"])
    return Publisher(nats_url, stream_name, subject_prefix)


@pytest.mark.parametrize("cursor", [NEW, LONG], ids=["in its header", "in its body"])
async def test_base_and_term_of_the_last_message_are_its_barriers(publisher: Publisher, cursor: WalCursor) -> None:
    await publisher.put(publisher.barrier(OLD), publisher.barrier(cursor), publisher.event(7, anchored(2)))
    tail = await publisher.tail()
    expected = dataclasses.replace(cursor, commit_lsn=112, index=1, transaction=7, behind=7)
    assert (tail.cursor, tail.term, tail.orphan) == (expected, TERM, None)


async def test_a_barrier_that_aged_out_is_noticed(publisher: Publisher) -> None:
    """The mark alone is no position. What the message says is handed on, to be completed by the row in the database."""
    await publisher.put(publisher.barrier(OLD), publisher.barrier(NEW), publisher.event(7, anchored(2)))
    await publisher.remove(2)
    tail = await publisher.tail()
    assert (tail.cursor, tail.term, tail.epoch) == (None, 2, 2)
    assert tail.orphan == Orphan(f"@2;{publisher.event(7, 'x').headers.decode().split(';', 1)[1].splitlines()[0]}", 2)


async def test_what_is_no_barrier_gives_no_base(publisher: Publisher) -> None:
    for base in (1, 2):
        await publisher.put(publisher.event(7, anchored(base)), publisher.event(8, anchored(base)))
        with pytest.raises(Refused, match="names message"):
            await publisher.tail()


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (Mutant(_holder, "barrier is None", "False"), test_a_barrier_that_aged_out_is_noticed),
        (Mutant(_holder, "raise BarrierGone(Orphan(text, anchor))", "return message"),
         test_a_barrier_that_aged_out_is_noticed),
        (Mutant(_long_text, "not text or anchor_of(text) is not None", "False"), test_what_is_no_barrier_gives_no_base),
    ],
    ids=["it is not missed", "the message stands for it", "an event is a barrier"],
)  # fmt: skip
async def test_mutant_that_reads_a_cursor_without_its_barrier_is_noticed(
    publisher: Publisher, mutant: Mutant, test: object
) -> None:
    with noticed(mutant, or_raises=(AttributeError, Refused)):
        await test(publisher)  # type: ignore[operator]


@pytest.mark.mutant
async def test_mutant_that_takes_the_term_from_the_message_is_noticed(publisher: Publisher) -> None:
    with noticed(Mutant(read_tail, "term_of(holder.headers)", "term_of(last.headers)")):
        await test_base_and_term_of_the_last_message_are_its_barriers(publisher, NEW)


async def test_a_poll_skips_all_messages_that_may_have_the_checkpoint(publisher: Publisher) -> None:
    """The first messages name a barrier that has aged out, which may have had the checkpoint."""
    await publisher.put(publisher.barrier(NEW), *(publisher.event(one, anchored(1)) for one in range(2, 6)))
    await publisher.put(publisher.barrier(NEW), *(publisher.event(one, anchored(6)) for one in range(7, 10)))
    await publisher.remove(1)
    passed = await publisher.history().passed_over(NEW)
    assert (passed.first, passed.last, passed.transactions) == (2, 9, (8,))
    positions = (await publisher.history().delivered(passed)).positions
    assert [one for one in range(12) if one in positions] == [2, 3, 4, 5, 7, 8, 9]


async def test_a_poll_skips_nothing_from_before_the_checkpoint(publisher: Publisher) -> None:
    await publisher.put(publisher.barrier(OLD), *(publisher.event(one, anchored(1)) for one in range(2, 6)))
    await publisher.put(publisher.barrier(NEW), *(publisher.event(one, anchored(6)) for one in range(7, 10)))
    passed = await publisher.history().passed_over(NEW)
    assert (passed.first, passed.last) == (6, 9)


@pytest.mark.mutant
async def test_mutant_that_forgets_messages_without_barrier_is_noticed(publisher: Publisher) -> None:
    with noticed(Mutant(StreamHistory.passed_over, "await self._is_orphan(api, first - 1)", "False")):
        await test_a_poll_skips_all_messages_that_may_have_the_checkpoint(publisher)


async def test_a_message_id_of_another_event_is_not_that_event(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    """Somebody has set the positions back, so another event has the message id of an earlier one."""
    stored = builder().event(EVENT, "2;poll;;1:2:", "42")._replace(subject=f"{subject_prefix}.0.E".encode())
    other = builder().event(EVENT._replace(event_id="other"), "2;poll;;1:2:", "42")
    assert other.message_id == stored.message_id
    async with sink_on(nats_url, plan_for(stream_name, subject_prefix)).session() as session:
        await store(session, [stored])
        assert await session.holds(1, stored)
        assert not await session.holds(1, other)


@pytest.mark.mutant
async def test_mutant_that_trusts_the_message_id_is_noticed(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    with noticed(Mutant(JetStreamSession.holds, "event_id is None or", "True or")):
        await test_a_message_id_of_another_event_is_not_that_event(nats_url, stream_name, subject_prefix)


async def test_each_event_of_the_log_names_the_last_barrier_before_it(world: World) -> None:
    """So whoever has a later row of the database than that barrier knows its base, and each barrier is complete."""
    async with running(world.relay()) as relay:
        await in_mode(relay, "wal")
        for _ in range(3):
            await world.insert(20)
            await world.drained(relay)
    last, named = 0, set[int]()
    for message in await world.messages():
        cursor = message.headers["Tandem-Cursor"]
        if not message.is_event:
            parse(cursor)
            last = message.sequence
            assert "Tandem-Term" in message.headers
        elif ";poll;" not in cursor:
            assert anchor_of(cursor) == last
            assert "Tandem-Term" not in message.headers
            named.add(last)
    assert named


ONE_BARRIER = NO_CHECKPOINTS + "session.STATE_SECONDS = 0.1"
#: The stream does not have one message any more, as if it had aged out.
GONE = """
import relay.stream.jetstream_api as api
found = api.JetStreamApi.message
async def message(self, stream, sequence):
    return None if sequence == {sequence} else await found(self, stream, sequence)
api.JetStreamApi.message = message
"""
FORGETFUL = """
import relay.publishing.state as mutant
mutant._completed = lambda orphan, row: None
"""


async def killed_behind_a_barrier_that_ages_out(world: World) -> int:
    """Publishes events and kills the relay. The row in the database is from before the last of them.

    Returns the sequence of the barrier that the last message names.
    """
    async with running(world.relay(prelude=ONE_BARRIER)) as relay:
        await in_mode(relay, "wal")
        await world.insert(10)
        await eventually(partial(published, world, 10), "the first events")
        last = await world.last_named_barrier()
        await eventually(partial(remembered, world, last), "a row from after the barrier")
        row = await state(world)
        await world.insert(3)
        await eventually(partial(published, world, 13), "the last events")
        await relay.kill()
    await state(world, row)
    assert await world.last_named_barrier() == last
    return last


async def published(world: World, count: int) -> bool:
    return len(await world.events()) == count


async def remembered(world: World, sequence: int) -> bool:
    return (await state(world))[0] >= sequence


async def state(world: World, row: tuple[int, str] | None = None) -> tuple[int, str]:
    """Returns sequence and cursor of the relay's row, which is set to `row` first if that is given."""
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
        if row is not None:
            await connection.execute("UPDATE relay_state SET last_sequence = %s, cursor = %s", row)
        found = await (await connection.execute("SELECT last_sequence, cursor FROM relay_state")).fetchone()
    assert found is not None
    return int(found[0]), str(found[1])


async def resumes_without_it(world: World, barrier: int, prelude: str = "") -> None:
    """A relay resumes, without the barrier, exactly after the last message. It must not need the server's help."""
    async with running(world.relay(prelude=GONE.format(sequence=barrier) + prelude)) as relay:
        await world.insert(10)
        await world.drained(relay)
        assert await relay.stop() == 0
    verdict = await world.verdict()
    assert verdict.clean, verdict
    assert "has aged out" in relay.text
    assert KNOWN not in relay.text


async def test_a_relay_resumes_although_the_barrier_of_the_last_message_has_aged_out(world: World) -> None:
    await resumes_without_it(world, await killed_behind_a_barrier_that_ages_out(world))


@pytest.mark.mutant
async def test_mutant_that_resumes_from_the_row_alone_is_noticed(world: World) -> None:
    barrier = await killed_behind_a_barrier_that_ages_out(world)
    with noticed():
        await resumes_without_it(world, barrier, FORGETFUL)


def test_frames_have_room_for_the_fence() -> None:
    """A fence is added to the headers after their size was checked."""
    message = builder(publish_epoch=2**31, source_epoch=2**31).event(EVENT._replace(position=2**62), "c", "1")
    [frame] = chain_frames([message], 2**62, message.message_id, b"_INBOX.")
    assert int(frame.split(b" ")[3]) - len(message.headers) <= 220
