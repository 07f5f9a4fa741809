"""Asks the projectors to refresh the index, for a serving process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from nats.errors import NoRespondersError

from query_service.handlers.nats_connection import NATS_ERRORS, NatsConnection
from query_service.handlers.notices.refresh_duty import REFRESHED
from query_service.handlers.notices.subjects import NoticeSubjects

#: How long projectors may take to answer.
ANSWER_SECONDS = 0.3


class RequestObserver(Protocol):
    """Counts the requests for a refresh."""

    def refresh_asked(self, outcome: str) -> None:
        """Counts a request. `outcome`: `refreshed`, `refused` by a projector whose refresh failed, or `unanswered`."""


class RefreshRequests:
    """Sends requests over the connection that `connected` returns, if any.

    `subjects` returns the subjects of a generation.
    """

    def __init__(
        self,
        subjects: Callable[[str], NoticeSubjects],
        connected: Callable[[], NatsConnection | None],
        observer: RequestObserver,
    ) -> None:
        self._subjects, self._connected, self._observer = subjects, connected, observer

    async def ask(self, generation: str) -> bool:
        """Requests a refresh of a generation, and returns whether one that began after the call is done."""
        outcome = "unanswered"
        if (connection := self._connected()) is not None:
            with contextlib.suppress(NoRespondersError, *NATS_ERRORS):
                answer = await connection.request(self._subjects(generation).refresh, b"", timeout=ANSWER_SECONDS)
                outcome = "refreshed" if answer.data == REFRESHED else "refused"
        self._observer.refresh_asked(outcome)
        return outcome == "refreshed"
