"""Every order in which two sessions and a stranger can reach a stream, tried on a model of it with the real frames.

The server of the model checks what a real one checks (expected sequence, expected id, whole batches), remembers no
message ids, and takes what each connection holds in that connection's order. The first session never hears of the
second one, as a relay that was stopped and wakes up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from relay.events.message import Message
from relay.stream.publish_policy import PublishPolicy, batch_frames, chain_frames, cut
from tests.support.relay.events import message

EVENTS = 4
BATCH = 2
STRANGERS = 2
#: What the stream of the model holds: an event's number, or the name of a barrier or a stranger.
Stream = tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """A message that is stored alone, or a whole batch, with what it expects of the stream before it."""

    ids: tuple[str, ...]
    sequence: int
    last_id: str | None

    def taken(self, stream: Stream) -> Stream | None:
        """The stream with it; None when it is refused."""
        fits = self.sequence == len(stream) and (self.last_id is None or stream[-1:] == (self.last_id,))
        return (*stream, *self.ids) if fits else None


@dataclass(frozen=True)
class Flight:
    """Requests that are written at once; `alone`: only when all before them are stored."""

    requests: tuple[Request, ...]
    alone: bool


#: How a session that finds `last` messages sends its own: its flights.
Sending = Callable[[Sequence[Message], int], Iterator[Flight]]


def requests_of(frames: Sequence[bytes]) -> tuple[Request, ...]:
    """What the server makes of frames."""

    def values(header: bytes, some: Sequence[bytes]) -> list[str]:
        return [found[1].decode() for frame in some for found in re.finditer(header + rb": ([^\r]*)\r", frame)]

    parts = [frames] if b"Nats-Batch-Id" in frames[0] else [[frame] for frame in frames]
    return tuple(
        Request(
            tuple(one.removeprefix("1:") for one in values(b"Nats-Msg-Id", part)),
            int(values(b"Nats-Expected-Last-Sequence", part)[0]),
            next((one.removeprefix("1:") for one in values(b"Nats-Expected-Last-Msg-Id", part)), None),
        )
        for part in parts
    )


def by_policy(*, clustered: bool, batches: bool = True, alone: bool = True, linked: bool = True) -> Sending:
    """Sends as a session does. `alone` and `linked` switch guards off, `batches` False lets everything go singly."""

    def flights(messages: Sequence[Message], last: int) -> Iterator[Flight]:
        policy = PublishPolicy("auto")
        policy.begin(clustered=clustered)
        if not batches:
            policy.flight_refused(messages)
        start, last_id = 0, None
        while start < len(messages):
            waiting = len(messages) - start
            whole = policy.atomic(waiting, 0.0) and not policy.suspected(messages[start:])
            most = BATCH if whole else policy.most_chained
            end = cut(messages, start, most, 1 << 20, whole_groups=False)
            flight = messages[start:end]
            if whole:
                frames = batch_frames(flight, last, b"B%d" % start, b"_I.")
            else:
                frames = chain_frames(flight, last, policy.link(last_id) if linked else None, b"_I.")
                if not linked:
                    frames = [re.sub(rb"Nats-Expected-Last-Msg-Id: [^\r]*\r\n", b"", frame) for frame in frames]
            yield Flight(requests_of(frames), alone and policy.alone(waiting, 0.0))
            start, last, last_id = end, last + len(flight), flight[-1].message_id

    return flights


@dataclass(frozen=True)
class Session:
    """`sent` flights are written, `taken` of their requests have reached the server; a refusal closes it."""

    flights: tuple[Flight, ...]
    sent: int = 0
    taken: int = 0
    closed: bool = False

    @property
    def written(self) -> tuple[Request, ...]:
        """What is in its connection, or was."""
        return tuple(request for flight in self.flights[: self.sent] for request in flight.requests)


@dataclass(frozen=True)
class State:
    """The stream, the sessions begun so far, and the strangers that have not come yet."""

    stream: Stream
    sessions: tuple[Session, ...]
    strangers: int = STRANGERS


def begun(name: str, stream: Stream, sending: Sending) -> Session:
    """A session that has read the stream: its barrier, then the events that the stream lacks."""
    next_event = sum(one.isdecimal() for one in stream) + 1
    barrier = message(0)._replace(message_id=f"1:{name}".encode())
    messages = [barrier, *(message(number) for number in range(next_event, EVENTS + 1))]
    return Session(tuple(sending(messages, len(stream))))


def successors(state: State, sending: Sending) -> Iterator[State]:
    """All that can happen next."""
    if len(state.sessions) == 1:
        yield replace(state, sessions=(*state.sessions, begun("second", state.stream, sending)))
    if state.strangers:
        yield replace(state, stream=(*state.stream, "stranger"), strangers=state.strangers - 1)
    for at, session in enumerate(state.sessions):

        def with_session(changed: Session, stream: Stream = state.stream, at: int = at) -> State:
            return replace(state, stream=stream, sessions=(*state.sessions[:at], changed, *state.sessions[at + 1 :]))

        pending = session.taken < len(session.written)
        if session.sent < len(session.flights) and not session.closed:
            flight = session.flights[session.sent]
            # A barrier is waited for by each session, whatever it sends afterwards.
            if not (pending and (flight.alone or session.sent == 1)):
                yield with_session(replace(session, sent=session.sent + 1))
        if pending:
            stored = session.written[session.taken].taken(state.stream)
            taken = replace(session, taken=session.taken + 1, closed=session.closed or stored is None)
            yield with_session(taken, state.stream if stored is None else stored)


def ends(sending: Sending) -> set[Stream]:
    """What the stream can hold at any moment."""
    first = State((), (begun("first", (), sending),))
    seen, left = {first}, [first]
    while left:
        for state in successors(left.pop(), sending):
            if state not in seen:
                seen.add(state)
                left.append(state)
    return {state.stream for state in seen}


def is_right(stream: Stream) -> bool:
    """Whether its events are the first ones, without a gap, each once."""
    events = [one for one in stream if one.isdecimal()]
    return events == [str(number) for number in range(1, len(events) + 1)]


@pytest.mark.parametrize(
    "sending",
    [by_policy(clustered=False), by_policy(clustered=True), by_policy(clustered=True, batches=False)],
    ids=["chain", "batches", "one by one"],
)
def test_whatever_comes_in_between_the_stream_is_right(sending: Sending) -> None:
    reached = ends(sending)
    assert all(is_right(stream) for stream in reached), next(one for one in reached if not is_right(one))
    everything = ("first", *map(str, range(1, EVENTS + 1)))
    assert everything in reached
    assert any("stranger" in stream and "second" in stream and str(EVENTS) in stream for stream in reached)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "sending",
    [
        by_policy(clustered=False, linked=False),
        by_policy(clustered=True, alone=False),
        by_policy(clustered=True, batches=False, alone=False),
    ],
    ids=["a chain of sequences alone", "batches in flight together", "single messages in flight together"],
)
def test_mutants_reach_a_gap(sending: Sending) -> None:
    assert any(not is_right(stream) for stream in ends(sending))
