"""Returns an order's history in pages: each event with the order before and after it, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

from query_service.application.freshness.await_versions import (
    Answer,
    Consistency,
    ReadAttempt,
    VersionWaiter,
    missing_version,
)
from query_service.application.ports.errors import OrderUnknown, PageTokenMalformed, Parked
from query_service.application.ports.read_store import OrderReader, StoredOrder
from query_service.application.questions.page_token import (
    history_fingerprint,
    place_value,
    read_page_token,
    write_page_token,
)
from query_service.projection.external_version import MAX_VERSION
from query_service.projection.order_document import EventDocument, OrderDocument
from query_service.projection.project import order_after


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One event, and the order before and after it. `before` is None for the first event."""

    entry: EventDocument
    before: OrderDocument | None
    after: OrderDocument


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of history. `following` is the first version of the next page; None on the last page."""

    steps: list[HistoryStep]
    following: int | None
    _fingerprint: str

    def token_after(self, count: int) -> str:
        """Returns the token for the page after the first `count` steps; "" when there is none."""
        following = self.following if count == len(self.steps) else self.steps[count].entry["version"]
        return "" if following is None else write_page_token(self._fingerprint, {"v": following})


class GetOrderHistory:
    """Reads the history of an order by id, so it sees every acknowledged write."""

    def __init__(self, reader: OrderReader, waiter: VersionWaiter) -> None:
        self._reader, self._waiter = reader, waiter

    async def __call__(
        self, order_id: str, size: int, wanted: Consistency, *, page_token: str = ""
    ) -> Answer[HistoryPage]:
        """Returns a page of up to `size` steps. A parked version is left out, and the answer is flagged as `parked`.

        Raises OrderUnknown, PageTokenMalformed, Parked, Lagging and TokenOfOtherSource.
        """
        fingerprint = history_fingerprint(order_id)
        first = 1
        if page_token:
            first = place_value(read_page_token(page_token, fingerprint), "v", int)
            if not 1 <= first <= MAX_VERSION + 1:
                raise PageTokenMalformed("the page token holds an impossible version; begin again without a page token")

        async def read() -> ReadAttempt[HistoryPage]:
            [stored] = await self._reader.orders([order_id])
            needed = missing_version(stored, wanted)
            hopeless = needed in stored.parked_versions
            if hopeless and (stored.document is None or not wanted.stale_allowed):
                raise Parked(order_id, needed)
            if stored.document is None:
                if not needed:
                    raise unknown_order(stored)
                return ReadAttempt(None, needed, generation=stored.generation)
            last = min(stored.version, first + size - 1)
            steps, missing = await self._steps(stored, first, last)
            page = HistoryPage(steps, last + 1 if last < stored.version else None, fingerprint)
            epoch = stored.document["source_epoch"]
            parked = any(version >= first for version in stored.parked_versions if version <= last)
            return ReadAttempt(
                page,
                needed or missing,
                stored.version,
                epoch,
                parked or stored.lacks_parked_version,
                hopeless,
                generation=stored.generation,
            )

        return await self._waiter.answer([order_id], wanted, read)

    async def _steps(self, stored: StoredOrder, first: int, last: int) -> tuple[list[HistoryStep], int]:
        """Returns the steps of these versions, and the first version that is neither applied nor parked (0: none)."""
        before_first = first - 1
        while before_first in stored.parked_versions:
            before_first -= 1
        versions = [version for version in (before_first, *range(first, last + 1)) if version >= 1]
        entries = await self._reader.entries(stored.order_id, versions)
        steps: list[HistoryStep] = []
        missing = 0
        before: OrderDocument | None = None
        for version, entry in zip(versions, entries, strict=True):
            if entry is None:
                if version not in stored.parked_versions:
                    missing = missing or version
                continue
            after = order_after(entry)
            if version >= first:
                steps.append(HistoryStep(entry, before, after))
            before = after
        return steps, missing


def unknown_order(stored: StoredOrder) -> OrderUnknown | Parked:
    """Returns the error for an order without document: Parked if a version of it is parked."""
    if stored.parked_versions:
        return Parked(stored.order_id, stored.parked_versions[-1])
    return OrderUnknown(stored.order_id)
