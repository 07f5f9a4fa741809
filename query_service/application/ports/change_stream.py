"""Declares the port to the stream of events, for those who follow it without a consumer of their own that lasts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol


class Message(Protocol):
    """A message of the stream."""

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""

    @property
    def body(self) -> bytes:
        """Its body."""


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """What the stream has: the messages `first` to `last`; `first` is `last` + 1 when it is empty.

    `created_at` (microseconds since 1970) distinguishes the stream from others of the same name.
    """

    created_at: int
    first: int
    last: int


class ChangeStream(Protocol):
    """Reads the stream. Each method raises DependencyDown while NATS is down, except `after`."""

    async def bounds(self) -> StreamBounds:
        """Returns what the stream has now."""

    async def message(self, sequence: int) -> Message | None:
        """Returns one message; None if the stream no longer has it."""

    def after(self, sequence: int, created_at: int) -> AsyncGenerator[Message, None]:
        """Yields every message after `sequence`, each once, in order and without end.

        It waits while NATS is down. Raises ResumeTokenExpired when the next messages are no longer in the stream, and
        when the stream is not the one that was created at `created_at`.
        """
        ...
