"""Returns one order, encoded: as it is now, after a version, or at a time."""

from __future__ import annotations

from dataclasses import replace

from query_service.application.freshness.await_versions import (
    Answer,
    Consistency,
    ReadAttempt,
    VersionWaiter,
    missing_version,
)
from query_service.application.ports.errors import OrderUnknown, Parked, VersionUnknown
from query_service.application.ports.read_store import OrderReader, StoredOrder
from query_service.application.questions.encoded_orders import encoded_orders
from query_service.projection.project import order_after

_MICROSECONDS = 1_000_000


class GetOrder:
    """Reads one order, as fresh as the caller wants.

    `finality_margin` is the most seconds that may pass from a change's record time to its commit. An answer for a time
    in the past is final once everything is applied that was committed up to `finality_margin` after that time.
    """

    def __init__(self, reader: OrderReader, waiter: VersionWaiter, *, finality_margin: float) -> None:
        self._reader, self._waiter = reader, waiter
        self._margin = round(finality_margin * _MICROSECONDS)

    async def now(self, order_id: str, wanted: Consistency) -> Answer[bytes]:
        """Returns the order at its latest applied version.

        Raises OrderUnknown, Parked, Lagging, TokenOfOtherSource and RebuildNeeded.
        """

        async def read() -> ReadAttempt[bytes]:
            [stored] = await self._reader.orders([order_id])
            needed = missing_version(stored, wanted)
            epoch = 0 if stored.document is None else stored.document["source_epoch"]
            hopeless = needed in stored.parked_versions
            if hopeless and (stored.document is None or not wanted.stale_allowed):
                raise Parked(order_id, needed)
            if stored.document is None and not needed:
                raise self._unknown(stored)
            known = [] if stored.document is None else [stored.document]
            return ReadAttempt(
                next(iter(await encoded_orders(known, self._reader.entries)), None),
                needed,
                stored.version,
                epoch,
                stored.lacks_parked_version,
                hopeless,
                generation=stored.generation,
            )

        return await self._waiter.answer([order_id], wanted, read)

    async def at_version(self, order_id: str, version: int, wanted: Consistency) -> Answer[bytes]:
        """Returns the order as it was after `version`.

        Raises OrderUnknown, VersionUnknown, Parked, Lagging and TokenOfOtherSource.
        """

        async def read() -> ReadAttempt[bytes]:
            [entry] = await self._reader.entries(order_id, [version])
            if entry is not None:
                return ReadAttempt(order_after(entry)["order"], 0, version, entry["source_epoch"])
            [stored] = await self._reader.orders([order_id])
            if version in stored.parked_versions:
                raise Parked(order_id, version)
            if version > max(stored.version, wanted.version_of(order_id)):
                if stored.document is None and not wanted.version_of(order_id):
                    raise self._unknown(stored)
                raise VersionUnknown(order_id, f"version {version}")
            # The version exists: it is in the token, or a later version was applied first.
            return ReadAttempt(None, version, stored.version, generation=stored.generation)

        return await self._waiter.answer([order_id], wanted, read)

    async def at_time(self, order_id: str, time: int, wanted: Consistency) -> Answer[bytes]:
        """Returns the order as it was recorded at `time` (microseconds since 1970). Raises as `at_version`.

        The answer is not final while a change recorded before `time` may still arrive.
        """

        async def read() -> ReadAttempt[bytes]:
            [stored] = await self._reader.orders([order_id])
            found = await self._reader.entry_at(order_id, time)
            needed = max(missing_version(stored, wanted), found.missing_version or 0)
            hopeless = needed in stored.parked_versions
            if hopeless and (found.entry is None or not wanted.stale_allowed):
                raise Parked(order_id, needed)
            if found.entry is None and not needed:
                if stored.document is None:
                    raise self._unknown(stored)
                raise VersionUnknown(order_id, "state at that time; it was recorded later")
            encoded = None if found.entry is None else order_after(found.entry)["order"]
            epoch = 0 if stored.document is None else stored.document["source_epoch"]
            # Both reads are of one generation, unless a switch came in between. Then nothing is claimed of either.
            generation = stored.generation if stored.generation == found.generation else ""
            return ReadAttempt(
                encoded,
                needed,
                stored.version,
                epoch,
                stored.lacks_parked_version,
                hopeless,
                generation=generation,
            )

        answer = await self._waiter.answer([order_id], wanted, read)
        final = answer.info.as_of is not None and answer.info.as_of - self._margin >= time
        return answer if final else Answer(answer.found, replace(answer.info, not_final=True))

    @staticmethod
    def _unknown(stored: StoredOrder) -> OrderUnknown | Parked:
        """Returns the error for an order without a document: there is none, or all its known versions are parked."""
        if stored.parked_versions:
            return Parked(stored.order_id, stored.parked_versions[-1])
        return OrderUnknown(stored.order_id)
