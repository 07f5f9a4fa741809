"""Describes the end of a stream, as a publishing session finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.events.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the stream. `cursor` is None if no message carries one (an empty stream).

    `created` distinguishes the stream from another of the same name. `foreign` counts messages of others after our last
    one.
    """

    created: datetime
    last_sequence: int
    messages: int
    term: int
    cursor: Cursor | None
    as_of: int | None
    foreign: int = 0
