"""The sink on a real NATS: a gap-free prefix whatever fails, and every error ends the session it belongs to."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import relay.stream.sink
from relay.events.errors import Closing, DuplicateReported, Refused, SessionClosed
from relay.events.message import Message, MessageLimits
from relay.events.parked_notice import ParkedNotices
from relay.stream.ack import Nack, read_ack
from relay.stream.publish_policy import chain_frames
from relay.stream.publish_window import PublishWindow
from relay.stream.sink import JetStreamSession, JetStreamSink
from tests.conformance.event_source_suite import until_shown
from tests.fixtures.private_servers import PrivateNats
from tests.support.relay import streams
from tests.support.relay.events import EVENT
from tests.support.relay.sinks import (
    bodies,
    messages,
    numbered,
    outcome,
    plan_for,
    send_all,
    sink_on,
    stale_twin,
    store,
    stranger_in_between,
    without,
)
from tests.support.source_mutants import Mutant, noticed

POLICIES = ["chain", "atomic"]


@pytest.mark.parametrize("policy", POLICIES)
async def test_stores_in_order_and_goes_on_behind_the_last(
    nats_url: str, stream_name: str, subject_prefix: str, policy: str
) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix), policy)
    for start in (0, 3_000):
        async with sink.session() as session:
            assert session.tail.last_sequence == start
            await store(session, messages(subject_prefix, range(start, start + 3_000)))
            assert session.stored_sequence == start + 3_000
    stored = await streams.read_all(nats_url, stream_name)
    assert [message.body for message in stored] == numbered(range(6_000))
    assert ("Nats-Batch-Id" in stored[0].headers) is (policy == "atomic")


async def test_replicas_need_a_cluster(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    with pytest.raises(Refused, match=r"cannot be created: .* set RELAY_STREAM_REPLICAS=1, or run a cluster"):
        async with sink_on(nats_url, plan_for(stream_name, subject_prefix, replicas=3)).session():
            pass


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_stale_session_stores_nothing_more(
    nats_url: str, stream_name: str, subject_prefix: str, policy: str
) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix), policy)
    async with sink.session() as stale:
        async with sink.session() as leader:
            await store(leader, messages(subject_prefix, range(3)))
        await send_all(stale, messages(subject_prefix, range(10, 15)))
        cause = await outcome(stale)
    # A chain has one ack, which does not say that its first message met somebody else's.
    assert cause.closing is (Closing.FENCED if policy == "atomic" else Closing.FLIGHT)
    assert await bodies(nats_url, stream_name) == numbered(range(3))


@pytest.mark.mutant
async def test_mutant_without_expected_sequence_a_stale_session_gets_through(
    nats_url: str, stream_name: str, subject_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfenced(
        batch: Sequence[Message], last: int, last_id: bytes | None, inbox: bytes, *, each: bool
    ) -> list[bytes]:
        frames = chain_frames(batch, last, last_id, inbox, each=each)
        return [
            without(without(frame, b"Nats-Expected-Last-Sequence"), b"Nats-Expected-Last-Msg-Id") for frame in frames
        ]

    monkeypatch.setattr(relay.stream.sink, "chain_frames", unfenced)
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    async with sink.session() as stale:
        async with sink.session() as leader:
            await store(leader, messages(subject_prefix, range(3)))
        await send_all(stale, messages(subject_prefix, range(10, 15)))
        await outcome(stale)
    assert await bodies(nats_url, stream_name) != numbered(range(3))


async def test_a_stale_twin_repeats_nothing(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    assert await stale_twin(sink, nats_url, stream_name, subject_prefix) == numbered(range(5))


@pytest.mark.mutant
async def test_mutant_that_resyncs_in_place_repeats_events(
    nats_url: str, stream_name: str, subject_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the stream's end from the refusal (10071) and sends again behind it what was refused."""

    def resync(session: JetStreamSession, nack: Nack, _: int) -> None:
        end = re.search(r"wrong last sequence: (\d+)", nack.reason)
        if end is None or int(end[1]) == session.window.sent_sequence - 5:
            return  # the refusals of what followed the first message
        refused = [message for flight in session.window._flights for message in flight.messages]
        session.window, session._last_id = PublishWindow(int(end[1]), 4_096, 16 << 20), None
        session.send(refused)

    monkeypatch.setattr(JetStreamSession, "_refused", resync)
    names = (f"_{number}" for number in itertools.count())

    async def attempt() -> list[bytes]:
        name = next(names)
        stream, prefix = stream_name + name, subject_prefix + name
        return await stale_twin(sink_on(nats_url, plan_for(stream, prefix)), nats_url, stream, prefix)

    # A server with too much to do forgets ids late, and tells nobody.
    await until_shown(attempt, lambda stored: stored == [*numbered(range(5)), *numbered(range(5))])


async def test_nothing_follows_a_refused_message(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    """A stranger takes the place of one message: all behind it are refused too, for their predecessor is missing."""
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    stored = await stranger_in_between(sink, nats_url, stream_name, subject_prefix)
    assert stored == [*numbered(range(2)), b"stranger"]


@pytest.mark.mutant
async def test_mutant_sequences_alone_leave_a_gap(
    nats_url: str, stream_name: str, subject_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlinked(batch: Sequence[Message], last: int, _: bytes | None, inbox: bytes, *, each: bool) -> list[bytes]:
        frames = chain_frames(batch, last, None, inbox, each=each)
        return [without(frame, b"Nats-Expected-Last-Msg-Id") for frame in frames]

    monkeypatch.setattr(relay.stream.sink, "chain_frames", unlinked)
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    stored = await stranger_in_between(sink, nats_url, stream_name, subject_prefix)
    assert stored == [*numbered(range(2)), b"stranger", *numbered(range(3, 6))]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_full_stream_takes_a_prefix_and_the_rest_when_there_is_room(
    nats_url: str, stream_name: str, subject_prefix: str, policy: str
) -> None:
    plan = replace(plan_for(stream_name, subject_prefix), max_bytes=200_000)
    sink = sink_on(nats_url, plan, policy)
    batch = messages(subject_prefix, range(1_500), size=400)
    async with sink.session() as session:
        with pytest.raises(SessionClosed) as closed:
            await store(session, batch)
    stored = await bodies(nats_url, stream_name)
    if closed.value.closing is Closing.FLIGHT:  # a message within it was refused; the reason shows one by one
        async with sink.session() as session:
            with pytest.raises(SessionClosed) as closed:
                await store(session, batch[len(stored) :])
    assert closed.value.closing is Closing.UNAVAILABLE
    assert "maximum bytes" in closed.value.reason
    stored = await bodies(nats_url, stream_name)
    assert stored == numbered(range(len(stored)), 400)
    assert policy == "atomic" or 0 < len(stored) < 1_500
    await streams.update_stream(nats_url, stream_name, max_bytes=64 << 20)
    async with sink.session() as session:
        assert session.tail.last_sequence == len(stored)
        await store(session, batch[len(stored) :])
    assert await bodies(nats_url, stream_name) == numbered(range(1_500), 400)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_message_that_is_too_large_is_named(
    nats_url: str, stream_name: str, subject_prefix: str, policy: str
) -> None:
    plan = plan_for(stream_name, subject_prefix)
    sink = sink_on(nats_url, plan, policy)
    async with sink.session():
        pass
    await streams.update_stream(nats_url, stream_name, max_msg_size=2_000)
    batch = messages(subject_prefix, range(9))
    batch[5] = batch[5]._replace(body=b"x" * 3_000)
    named: Message | None = None
    for _ in range(2):  # a flight does not say which; its messages then go one by one
        async with sink.session() as session:
            assert session.limits.max_payload == 2_000
            with pytest.raises(SessionClosed) as closed:
                await store(session, batch[session.tail.last_sequence :])
            if closed.value.closing is Closing.EVENT:
                named = session.refused_message(closed.value)
                break
    assert named is not None
    assert named.position == 5
    assert await bodies(nats_url, stream_name) == numbered(range(5))


@pytest.mark.mutant
async def test_mutant_that_never_asks_for_each_ack_learns_no_name(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    again = "self._policy.flight_refused(flight.messages, too_large=nack.code == BATCH_TOO_LARGE)"
    with noticed(Mutant(JetStreamSession._refused, again, "pass")):
        await test_a_message_that_is_too_large_is_named(nats_url, stream_name, subject_prefix, "chain")


@pytest.mark.parametrize("policy", POLICIES)
async def test_notices_as_large_as_the_stream_accepts_are_stored_whatever_the_ids(
    nats_url: str, stream_name: str, subject_prefix: str, policy: str
) -> None:
    plan = plan_for(stream_name, subject_prefix)
    sink = sink_on(nats_url, plan, policy)
    async with sink.session():
        pass
    made = ParkedNotices(plan.barrier_subject, source_epoch=1, publish_epoch=1, term=1, limits=MessageLimits(1 << 20))
    events = [EVENT._replace(event_id=letter * 255, position=place) for place, letter in enumerate("abc", 1)]
    notices = [made.parked(event, "1;poll;;5:6:", str(event.position), "it is too large") for event in events]
    sent = [notice for notice in notices if notice is not None]
    await streams.update_stream(nats_url, stream_name, max_msg_size=max(notice.size for notice in sent))
    async with sink.session() as session:
        await store(session, sent)
    stored = await streams.read_all(nats_url, stream_name)
    assert [message.headers["Tandem-Event-Id"] for message in stored] == [event.event_id for event in events]


async def named_after_a_lone_batch(sink: JetStreamSink, prefix: str) -> list[Closing]:
    """How four sessions end that send a known id, which is alone in its batch, before a larger group."""
    lone, *others = messages(prefix, range(1, 1_002))
    batch = [lone, *(other._replace(group="g") for other in others)]
    async with sink.session() as session:
        await store(session, messages(prefix, [0, 1]))
    causes: list[Closing] = []
    while len(causes) < 4 and Closing.DUPLICATE not in causes:
        async with sink.session() as session:
            with pytest.raises(SessionClosed) as closed:
                await store(session, batch)
            causes.append(closed.value.closing)
    return causes


async def test_a_batch_of_one_is_named_too(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix), "atomic")
    assert await named_after_a_lone_batch(sink, subject_prefix) == [Closing.FLIGHT, Closing.DUPLICATE]


@pytest.mark.mutant
async def test_mutant_that_takes_a_batch_of_one_for_single_loops(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix), "atomic")
    with Mutant(
        JetStreamSession._refused, "flight.atomic or len(flight.messages) > 1", "len(flight.messages) > 1"
    ).at_work():
        assert await named_after_a_lone_batch(sink, subject_prefix) == [Closing.FLIGHT] * 4


async def test_a_stream_deleted_under_a_session_ends_it(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    async with sink.session() as session:
        before = session.tail.created
        await store(session, messages(subject_prefix, range(3)))
        await streams.delete_stream(nats_url, stream_name)
        await send_all(session, messages(subject_prefix, range(3, 6)))
        cause = await outcome(session)
        assert cause.closing is Closing.UNAVAILABLE
        assert "no stream takes the subject" in cause.reason
    async with sink.session() as session:
        assert session.tail.created > before
        assert session.tail.last_sequence == 0


async def test_a_duplicate_is_reported_and_looked_up(nats_url: str, stream_name: str, subject_prefix: str) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix))
    async with sink.session() as session:
        await store(session, messages(subject_prefix, range(3)))
        await send_all(session, messages(subject_prefix, [1, 7]))
        assert (await outcome(session)).closing is Closing.FLIGHT
    async with sink.session() as session:
        await send_all(session, messages(subject_prefix, [1, 7]))
        cause = await outcome(session)
        assert isinstance(cause, DuplicateReported)
        assert cause.stored_sequence == 2
        message = session.refused_message(cause)
        assert message is not None
        assert await session.holds(2, message)
        assert not await session.holds(3, message)
        assert not await session.holds(999, message)
    assert await bodies(nats_url, stream_name) == numbered(range(3))


async def test_a_batch_with_a_known_id_is_refused_whole_and_goes_singly(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    sink = sink_on(nats_url, plan_for(stream_name, subject_prefix), "atomic")
    async with sink.session() as session:
        await store(session, messages(subject_prefix, range(4)))
        await send_all(session, messages(subject_prefix, [10, 2, 11]))
        assert (await outcome(session)).closing is Closing.FLIGHT
    assert await bodies(nats_url, stream_name) == numbered(range(4))
    async with sink.session() as session:
        with pytest.raises(DuplicateReported) as closed:
            await store(session, messages(subject_prefix, [10, 2, 11]))
        known = session.refused_message(closed.value)
        assert known is not None
        assert known.position == 2
    assert await bodies(nats_url, stream_name) == numbered([*range(4), 10])


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_server_killed_in_the_middle_keeps_a_prefix(private_nats: PrivateNats, policy: str) -> None:
    server = await private_nats()
    sink = sink_on(server.url, plan_for("KILLED", "killed"), policy)
    batch = messages("killed", range(200_000))
    async with sink.session() as session:
        sending = asyncio.create_task(send_all(session, batch))
        while session.stored_sequence < 5_000:
            await session.wait(5.0)
        await server.kill()
        with pytest.raises(SessionClosed) as closed:
            await sending
        assert closed.value.closing is Closing.UNAVAILABLE
        acknowledged = session.stored_sequence
    with pytest.raises(SessionClosed, match="cannot be reached"):
        async with sink.session():
            pass
    await server.restart()
    stored = await bodies(server.url, "KILLED")
    assert acknowledged <= len(stored) < 200_000
    assert stored == numbered(range(len(stored)))
    async with sink.session() as session:
        await store(session, batch[len(stored) : len(stored) + 1_000])
    assert await bodies(server.url, "KILLED") == numbered(range(len(stored) + 1_000))


@pytest.mark.parametrize("policy", POLICIES)
async def test_silence_is_an_unknown_outcome_and_what_was_buffered_does_no_harm(
    private_nats: PrivateNats, policy: str
) -> None:
    """A server that stops answers nothing; what it has read by then it stores when it goes on, behind our back."""
    server = await private_nats()
    assert server.pid is not None
    sink = sink_on(server.url, plan_for("SILENT", "silent"), policy)
    batch = messages("silent", range(900))
    async with sink.session() as session:
        await store(session, batch[:100])
    impatient = sink_on(server.url, plan_for("SILENT", "silent"), policy, ack_timeout=0.5)
    async with impatient.session() as session:
        assert session.stored_sequence == 100
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(SessionClosed) as closed:
                await store(session, batch[100:])
            assert closed.value.closing is Closing.UNAVAILABLE
            assert "within 0.5 s" in closed.value.reason
        finally:
            os.kill(server.pid, signal.SIGCONT)
    stored = 0
    while stored < 900:
        try:
            async with sink.session() as session:
                stored = session.tail.last_sequence
                await store(session, batch[stored:])
                stored = session.stored_sequence
        except SessionClosed as fenced:
            assert fenced.closing is not Closing.EVENT  # noqa: PT017 - what was buffered came in between
    assert await bodies(server.url, "SILENT") == numbered(range(900))


async def test_good_acks_in_a_row_are_recognised_as_this_server_writes_them(
    nats_url: str, stream_name: str, subject_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def reading(body: bytes, headers: bytes | None) -> Any:
        parsed.append(body)
        return read_ack(body, headers)

    monkeypatch.setattr(relay.stream.sink, "read_ack", reading)
    async with sink_on(nats_url, plan_for(stream_name, subject_prefix)).session() as session:
        await store(session, messages(subject_prefix, range(2_000)))
    assert len(parsed) < 200
