"""Describes the end of a stream, as a new publishing session finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.events.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Orphan:
    """The cursor `text` of a message that names the barrier at the sequence `barrier`, which the stream has no more."""

    text: str
    barrier: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the stream. A session reads it to know from where to resume and with which term.

    `created` is when the stream was created; it distinguishes the stream from another of the same name. `term` and
    `cursor` are those of our last message. Without such a message they are 0 and None. If the stream has no more the
    barrier that the message names, `cursor` is None, `orphan` is what the message says, and no term that was ever used
    is higher than `term`. `as_of` is the time of the last barrier with a time (µs since 1970); None without one.
    `foreign` counts the messages of others after our last message. `epoch` is the highest source epoch that our last
    message and its barrier name; 0 without such a message.
    """

    created: datetime
    last_sequence: int
    messages: int
    term: int
    cursor: Cursor | None
    as_of: int | None
    foreign: int = 0
    orphan: Orphan | None = None
    epoch: int = 0
