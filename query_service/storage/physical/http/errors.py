"""Defines how a request can fail without an answer. No message contains a password."""

from __future__ import annotations


class NoAnswer(Exception):  # noqa: N818 - says what happened
    """The request has no answer. The server may have done what it asked for."""


class MalformedAnswer(NoAnswer):
    """What the server sent is no HTTP answer that this client reads."""


class ConnectionEnded(NoAnswer):
    """The connection ended before the answer was complete. `untouched`: before its first byte."""

    def __init__(self, reason: str, *, untouched: bool) -> None:
        super().__init__(reason)
        self.untouched = untouched
