"""Which messages a session opens with a barrier, and what they carry as their base."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

import relay.publishing.session as session_module
from relay.events.barrier import BarrierBuilder
from relay.events.cursor import Cursor, PollCursor, WalCheckpoint, WalCursor
from relay.events.snapshot import Snapshot
from relay.publishing.session import RENEWAL_SECONDS, Publishing, SessionParts
from tests.support.source_mutants import Mutant, noticed

FIRST = WalCursor(1, WalCheckpoint("slot", "p", 16, Snapshot(5, 6)), 16)
LATER = WalCursor(1, WalCheckpoint("slot", "p", 32, Snapshot(7, 8)), 32)
SHORT = PollCursor(1, Snapshot(5, 6), Snapshot(7, 8))
LONG = PollCursor(1, Snapshot(5, 6), Snapshot(7, 999, tuple(range(7, 300))))


class Clock:
    """Stands for the module `time` within the session."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    return clock


class Sending:
    """A session of which only the sequences and the stream's `max_age` (in seconds) count."""

    def __init__(self, max_age: float = math.inf) -> None:
        self._jetstream = SimpleNamespace(tail=SimpleNamespace(as_of=None), max_age_seconds=max_age, next_sequence=7)
        parts: dict[str, Any] = dict.fromkeys(SessionParts.__dataclass_fields__)
        parts |= {"session": self._jetstream, "barriers": BarrierBuilder("t.b", publish_epoch=1, term=3)}
        self._publishing = Publishing(SessionParts(**parts))

    def event(self, cursor: Cursor) -> tuple[int, str]:
        """Sends an event after `cursor`. Returns how many barriers were sent before it, and the base that it has."""
        base, opening = self._publishing._opened(cursor, cursor.base)
        sent = cast("int", self._jetstream.next_sequence)
        self._jetstream.next_sequence = sent + len(opening) + 1
        return len(opening), base


def test_a_base_of_the_log_is_said_once(clock: Clock) -> None:
    sending = Sending()
    assert [sending.event(FIRST) for _ in range(2)] == [(1, "@7"), (0, "@7")]
    assert [sending.event(LATER) for _ in range(2)] == [(1, "@10"), (0, "@10")]
    assert sending.event(FIRST) == (1, "@13")


def test_a_poll_carries_its_base_unless_it_is_long(clock: Clock) -> None:
    sending = Sending()
    assert sending.event(SHORT)[1] == SHORT.base
    assert [sending.event(SHORT), sending.event(LONG), sending.event(LONG)][1:] == [(1, "@10"), (0, "@10")]
    assert sending.event(SHORT) == (0, SHORT.base)


@pytest.mark.parametrize(
    ("max_age", "seconds"), [(math.inf, RENEWAL_SECONDS), (86_400.0, RENEWAL_SECONDS), (60.0, 6.0)]
)
@pytest.mark.parametrize("cursor", [FIRST, SHORT, LONG], ids=["log", "poll", "long poll"])
def test_an_old_barrier_is_renewed(clock: Clock, max_age: float, seconds: float, cursor: Cursor) -> None:
    """So it ages out of the stream soon before the messages that name it, and a term is never far from the end."""
    sending = Sending(max_age)
    assert sending.event(cursor)[0] == 1
    clock.now += seconds - 0.001
    assert sending.event(cursor)[0] == 0
    clock.now += 0.002
    assert [sending.event(cursor)[0] for _ in range(2)] == [1, 0]


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("or self._anchor[0] != base", ""),
        ("self._anchor is None or ", "self._anchor is not None and "),
        (" or time.monotonic() >= self._renewal_due", ""),
    ],
    ids=["the base of an earlier barrier", "no barrier at all", "never renewed"],
)
def test_a_session_that_goes_wrong_is_noticed(clock: Clock, old: str, new: str) -> None:
    with noticed(Mutant(Publishing._opened, old, new)):
        test_a_base_of_the_log_is_said_once(clock)
        test_a_poll_carries_its_base_unless_it_is_long(clock)
        test_an_old_barrier_is_renewed(clock, 60.0, 6.0, FIRST)
