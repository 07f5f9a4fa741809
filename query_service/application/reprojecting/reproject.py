"""Projects orders again in place: their document, all their journal entries, and their parked records.

An order is done when everything that was written is read back equal, and its version on the write side did not change
meanwhile. Otherwise it is done again. So an event that erases personal data cannot be undone by a page that was read
before it: the event changes the order's version, and the order is projected again from the journal after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from query_service.application.ports.checked_store import CheckedStore, ExternalVersions
from query_service.application.ports.errors import DependencyDown
from query_service.application.ports.order_source import OrderJournal, OrderSelection, OrderSource
from query_service.application.ports.read_store import Deferred, Outcome, ParkedEvent, Refused
from query_service.application.reprojecting.plan import OrderPlan, Unprojected, plan
from query_service.application.reprojecting.revisions import RevisionsUsedUp
from query_service.projection.errors import ProjectionError
from query_service.projection.external_version import external_version, version_parts
from query_service.projection.proto_json import is_identifier
from query_service.projection.recorded_event import recorded_event

#: How often an order is attempted while it changes, or while the store refuses a write for a reason that may pass.
ATTEMPTS = 10
_NONE = external_version(1, 1)
#: Look-ups of single orders that run at the same time.
_AT_ONCE = 8


class Result(StrEnum):
    """What became of an order."""

    #: Its documents are those of its journal.
    REPROJECTED = "REPROJECTED"
    #: The write side has no such order any more, so it was removed.
    REMOVED = "REMOVED"
    #: Neither side has such an order.
    UNKNOWN = "UNKNOWN"
    #: Some of its events cannot be projected, and are parked. The others are projected.
    PARKED = "PARKED"
    #: It was left as it is; the detail says why.
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Reprojected:
    """What became of an order. `version` is its version on the write side, 0 without one."""

    order_id: str
    result: Result
    version: int
    detail: str = ""


class Reprojector:
    """Projects orders of one source again into one store.

    `stream` is the stream's name, with which events are parked. `now` returns microseconds since 1970. All methods
    raise DependencyDown, SourceRefused and ReadStoreNotReady; orders done before are done.
    """

    def __init__(
        self,
        store: CheckedStore,
        source: OrderSource,
        *,
        stream: str,
        now: Callable[[], int],
    ) -> None:
        self._store, self._source, self._stream, self._now = store, source, stream, now

    async def orders(self, order_ids: Sequence[str]) -> list[Reprojected]:
        """Projects these orders again, and removes those that the write side does not have. In the order of the ids."""
        wanted = list(dict.fromkeys(order_ids))
        results: dict[str, Reprojected] = {}
        epoch = 0
        possible = [order_id for order_id in wanted if is_identifier(order_id)]
        async for page in self._source.journals(OrderSelection(order_ids=possible)):
            epoch = page.source_epoch
            for done in await self._page(page.journals, page.source_epoch):
                results[done.order_id] = done
        for order_id in wanted:
            if order_id not in results:
                results[order_id] = await self._remove(order_id, epoch)
        return [results[order_id] for order_id in wanted]

    async def selected(self, selection: OrderSelection) -> AsyncIterator[list[Reprojected]]:
        """Projects the selected orders again, and yields what became of them, page by page. It removes none."""
        async for page in self._source.journals(selection):
            yield await self._page(page.journals, page.source_epoch)

    async def _page(self, journals: Sequence[OrderJournal], source_epoch: int) -> list[Reprojected]:
        results: dict[str, Reprojected] = {}
        refused: dict[str, dict[int, ProjectionError]] = {}
        pending, attempt = {journal.order_id: journal for journal in journals}, 0
        while pending:
            if attempt >= ATTEMPTS:
                raise DependencyDown(
                    self._store.dependency,
                    f"order {next(iter(pending))} could not be written and read back in {ATTEMPTS} attempts",
                )
            plans: list[OrderPlan] = []
            for planned in await self._plans(list(pending.values()), refused, source_epoch, attempt):
                if isinstance(planned, Reprojected):
                    results[planned.order_id] = planned
                else:
                    plans.append(planned)
            outcomes = await self._write(plans)
            for one in plans:
                errors = _refusals(one, outcomes)
                if one.head is not None and one.head.version in errors:
                    # The order's document is made of the last event that the store takes.
                    refused[one.order_id] = refused.get(one.order_id, {}) | errors
            done = [one for one in plans if await self._is_done(one, outcomes)]
            changed = await self._changed({one.order_id: one.version for one in plans})
            for one in done:
                if one.order_id not in changed:
                    results[one.order_id] = await self._settle(one, outcomes)
            pending = {
                order_id: changed.get(order_id, journal)
                for order_id, journal in pending.items()
                if order_id not in results
            }
            attempt += 1
        return [results[journal.order_id] for journal in journals]

    async def _plans(
        self,
        journals: Sequence[OrderJournal],
        refused: Mapping[str, Mapping[int, ProjectionError]],
        source_epoch: int,
        attempt: int,
    ) -> list[OrderPlan | Reprojected]:
        planned: list[OrderPlan | Reprojected] = []
        for begin in range(0, len(journals), _AT_ONCE):
            some = journals[begin : begin + _AT_ONCE]
            planned += await asyncio.gather(
                *(self._plan(one, refused.get(one.order_id, {}), source_epoch, attempt) for one in some)
            )
        return planned

    async def _plan(
        self, journal: OrderJournal, refused: Mapping[int, ProjectionError], source_epoch: int, attempt: int
    ) -> OrderPlan | Reprojected:
        [stored] = await self._store.orders([journal.order_id])
        editions = await self._store.external_versions(
            journal.order_id, range(1, max([journal.version, stored.version, *stored.parked_versions]) + 1)
        )
        if _newest_epoch(editions) > source_epoch:
            return Reprojected(journal.order_id, Result.REFUSED, journal.version, _from_the_future(source_epoch))
        try:
            return plan(journal, source_epoch, stored, editions, attempt=attempt, refused=refused)
        except RevisionsUsedUp as used_up:
            return Reprojected(journal.order_id, Result.REFUSED, journal.version, str(used_up))

    async def _write(self, plans: Sequence[OrderPlan]) -> dict[tuple[str, int], Outcome]:
        """Writes heads first, so that readers never see an older version instead. Outcomes by order and version."""
        heads = [one.head for one in plans if one.head is not None]
        others = [event for one in plans for event in one.others]
        outcomes = await self._store.apply(heads) + await self._store.apply_entries(others)
        for one in plans:
            if one.has_lost_versions:
                await self._store.remove(one.order_id, above=one.version)
        return {
            (event.order_id, event.version): outcome for event, outcome in zip([*heads, *others], outcomes, strict=True)
        }

    async def _is_done(self, planned: OrderPlan, outcomes: dict[tuple[str, int], Outcome]) -> bool:
        """Whether everything that was not refused is read back equal, or is newer by now."""
        written = [
            event for event in planned.events if not isinstance(outcomes[event.order_id, event.version], Refused)
        ]
        if any(isinstance(outcomes[event.order_id, event.version], Deferred) for event in written):
            return False
        [stored] = await self._store.orders([planned.order_id])
        entries = await self._store.entries(planned.order_id, [event.version for event in written])
        if any(entry != event.event for entry, event in zip(entries, written, strict=True)):
            return False
        head = planned.head
        if head is None:
            return True
        if head not in written:
            return not planned.others
        return stored.document == head.order or stored.version > head.version

    async def _changed(self, versions: dict[str, int]) -> dict[str, OrderJournal]:
        """Returns the present journals of the orders that have another version on the write side by now."""
        now: dict[str, int] = {}
        async for heads in self._source.heads(OrderSelection(order_ids=list(versions))):
            now |= {head.order_id: head.version for head in heads.heads}
        changed = [order_id for order_id, version in versions.items() if now.get(order_id, version) != version]
        return {
            journal.order_id: journal
            async for page in self._source.journals(OrderSelection(order_ids=changed))
            for journal in page.journals
        }

    async def _settle(self, planned: OrderPlan, outcomes: dict[tuple[str, int], Outcome]) -> Reprojected:
        """Parks what cannot be projected, and deletes the records of what could."""
        events = {event.version: event for event in planned.events}
        errors = _refusals(planned, outcomes)
        refused = [Unprojected(recorded_event(events[version].event), error) for version, error in errors.items()]
        hopeless = [*planned.unprojected, *refused]
        broken = {one.event.version for one in hopeless}
        if planned.stored.parked_versions:
            for record in await self._store.parked(planned.order_id):
                if record.version in events and record.version not in broken:
                    await self._store.unpark(record)
        for one in hopeless:
            if one.event.version not in planned.stored.parked_versions:
                await self._store.park(self._parked(one))
        if not hopeless:
            return Reprojected(planned.order_id, Result.REPROJECTED, planned.version)
        detail = "; ".join(f"version {one.event.version}: {one.error.detail}" for one in hopeless)
        return Reprojected(planned.order_id, Result.PARKED, planned.version, detail)

    async def _remove(self, order_id: str, source_epoch: int) -> Reprojected:
        [stored] = await self._store.orders([order_id])
        if stored.document is None and not stored.parked_versions:
            # Entries may be left of an order whose document was lost.
            await self._store.remove(order_id)
            return Reprojected(order_id, Result.UNKNOWN, 0)
        if is_identifier(order_id) and _newest_epoch(await self._store.external_versions(order_id, [])) > source_epoch:
            return Reprojected(order_id, Result.REFUSED, 0, _from_the_future(source_epoch))
        await self._store.remove(order_id)
        return Reprojected(order_id, Result.REMOVED, 0)

    def _parked(self, unprojected: Unprojected) -> ParkedEvent:
        event, error = unprojected.event, unprojected.error
        return ParkedEvent(
            order_id=event.order_id,
            version=event.version,
            event_id=event.event_id,
            event_type=event.event_type,
            stream=self._stream,
            # No message: the event was read from the journal, so only `tandem rebuild order` retries it.
            sequence=0,
            stored_at=self._now(),  # after every message about this version
            parked_at=self._now(),
            reason=error.reason,
            detail=error.detail,
        )


def _refusals(planned: OrderPlan, outcomes: Mapping[tuple[str, int], Outcome]) -> dict[int, ProjectionError]:
    """Returns the versions of the order that the store has refused, and why."""
    return {
        event.version: ProjectionError(outcome.reason, outcome.detail)
        for event in planned.events
        if isinstance(outcome := outcomes[event.order_id, event.version], Refused)
    }


def _newest_epoch(editions: ExternalVersions) -> int:
    return max(version_parts(number).source_epoch for number in (editions.order or _NONE, *editions.entries.values()))


def _from_the_future(source_epoch: int) -> str:
    return (
        f"the read model has it from a later source epoch than {source_epoch}, the source's: the source was set back;"
        " run `tandem relay adopt` first"
    )
