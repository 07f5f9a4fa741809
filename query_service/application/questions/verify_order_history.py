"""Verifies an order's history: the hash chain is computed anew from the stored texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from query_service.application.freshness.await_versions import (
    Answer,
    Consistency,
    ReadAttempt,
    VersionWaiter,
    missing_version,
)
from query_service.application.ports.errors import Lagging, Parked
from query_service.application.ports.read_store import OrderReader, StoredOrder
from query_service.application.questions.order_history import unknown_order
from query_service.projection.journal_check import JournalCheck
from query_service.projection.order_document import EventDocument

#: Entries that are read and held at once.
PAGE_VERSIONS = 20
#: After so many findings no more entries are read.
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class HistoryFinding:
    """Something that is not as it was recorded. `copy`: `journal entry` or `order document`."""

    version: int
    copy: str
    detail: str

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        return f"the read model's {self.copy} of version {self.version} is broken: {self.detail}"


@dataclass(frozen=True, slots=True)
class VerifiedHistory:
    """The result for one order. `verified` counts the versions whose hash their text and the version before give."""

    order_version: int
    verified: int
    head_hash: str
    findings: Sequence[HistoryFinding]
    parked_versions: Sequence[int]
    #: The version in the caller's token, if the read model has not applied it; 0 otherwise.
    lacking: int = 0

    @property
    def valid(self) -> bool:
        """Whether every version is verified and nothing is broken."""
        return not self.findings and self.verified == self.order_version

    @property
    def first_broken_version(self) -> int:
        """The version of the first finding; 0 when there is none."""
        return self.findings[0].version if self.findings else 0

    @property
    def finding(self) -> str:
        """One sentence that says why the history is not valid; "" when it is."""
        if self.valid:
            return ""
        if not self.findings:
            versions = ", ".join(map(str, self.parked_versions))
            return f"only {self.verified} of {self.order_version} versions can be verified; parked: {versions}"
        more = len(self.findings) - 1
        return self.findings[0].sentence + (f" (and {more} more findings)" if more else "")


class VerifyOrderHistory:
    """Verifies the journal entries 1 to the order's version, and the order's document against the last of them."""

    def __init__(self, reader: OrderReader, waiter: VersionWaiter) -> None:
        self._reader, self._waiter = reader, waiter

    async def __call__(self, order_id: str, wanted: Consistency) -> Answer[VerifiedHistory]:
        """Returns the result. What seems wrong is read again until it is right, or until `wanted.max_wait` is over.

        Entries and documents are written one after the other, so a write in progress may look like a change.
        Raises OrderUnknown, Parked, Lagging and TokenOfOtherSource.
        """

        async def read() -> ReadAttempt[VerifiedHistory]:
            [stored] = await self._reader.orders([order_id])
            needed = missing_version(stored, wanted)
            hopeless = needed in stored.parked_versions
            if hopeless and (stored.document is None or not wanted.stale_allowed):
                raise Parked(order_id, needed)
            if stored.document is None:
                if not needed:
                    raise unknown_order(stored)
                return ReadAttempt(None, needed, generation=stored.generation)
            found = replace(await self._verified(stored), lacking=needed)
            return ReadAttempt(
                found,
                needed or found.first_broken_version,
                stored.version,
                stored.document["source_epoch"],
                bool(stored.parked_versions),
                hopeless,
                generation=stored.generation,
            )

        answer = await self._waiter.answer([order_id], replace(wanted, stale_allowed=True), read)
        lacking = answer.found.lacking
        if lacking and not wanted.stale_allowed:
            raise Lagging(order_id, lacking, answer.found.order_version)
        return replace(answer, info=replace(answer.info, stale=bool(lacking)))

    async def _verified(self, stored: StoredOrder) -> VerifiedHistory:
        own = await self._reader.has_own_content()
        check = JournalCheck(stored.order_id, own=own)
        findings: list[HistoryFinding] = []
        for first in range(1, stored.version + 1, PAGE_VERSIONS):
            versions = range(first, min(stored.version, first + PAGE_VERSIONS - 1) + 1)
            entries = await self._reader.entries(stored.order_id, versions)
            findings += _entry_findings(check, zip(versions, entries, strict=True), stored.parked_versions)
            if len(findings) >= MOST_FINDINGS:
                break
        else:
            if stored.document is not None and (fault := check.document_fault(stored.document)) is not None:
                findings.append(HistoryFinding(stored.version, "order document", fault))
        head = "" if stored.document is None else stored.document["hash"]
        parked = [version for version in stored.parked_versions if version <= stored.version]
        return VerifiedHistory(stored.version, check.verified, head, findings[:MOST_FINDINGS], parked)


def _entry_findings(
    check: JournalCheck, entries: Iterable[tuple[int, EventDocument | None]], parked_versions: Sequence[int]
) -> Iterator[HistoryFinding]:
    """Yields what is wrong with entries, each given with its version. A parked version needs no entry."""
    for version, entry in entries:
        if entry is not None:
            if (fault := check.entry_fault(entry)) is not None:
                yield HistoryFinding(version, "journal entry", fault)
            continue
        check.missing()
        if version not in parked_versions:
            yield HistoryFinding(version, "journal entry", "there is no such entry")
