"""A serving process's requests to the projectors to make searchable what is applied."""

from __future__ import annotations

from typing import Protocol

from nats.aio.client import Client
from nats.errors import NoRespondersError

from query_service.handlers.nats_connection import NATS_ERRORS
from query_service.handlers.notices.refresh_duty import REFRESHED
from query_service.handlers.notices.subjects import NoticeSubjects

#: How long projectors may take to answer.
ANSWER_SECONDS = 0.3


class RequestObserver(Protocol):
    """Counts requests."""

    def refresh_asked(self, outcome: str) -> None:
        """A request ended: `refreshed`, `refused` by a projector that could not refresh, or `unanswered`."""


class RefreshRequests:
    """Asks over the connection that is there, if any."""

    def __init__(self, subjects: NoticeSubjects, observer: RequestObserver) -> None:
        self._subject, self._observer = subjects.refresh, observer
        self.client: Client | None = None

    async def ask(self) -> bool:
        """Whether a refresh that began after the call is done."""
        outcome = await self._outcome()
        self._observer.refresh_asked(outcome)
        return outcome == "refreshed"

    async def _outcome(self) -> str:
        if self.client is None or not self.client.is_connected:
            return "unanswered"
        try:
            answer = await self.client.request(self._subject, b"", timeout=ANSWER_SECONDS)
        except (NoRespondersError, *NATS_ERRORS):
            return "unanswered"
        return "refreshed" if answer.data == REFRESHED else "refused"
