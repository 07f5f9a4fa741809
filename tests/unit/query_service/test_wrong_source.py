"""A comparison with a write side that lacks all orders ends early, and its memory stays bounded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from query_service.application.comparing import compare
from query_service.application.comparing.compare import ReadModelComparison
from query_service.application.comparing.findings import Kind
from query_service.application.ports.checked_store import ScannedOrder
from query_service.storage.memory import MemoryStore
from tests.support.queries.compared_read_model import ReadModel
from tests.support.source_mutants import Mutant, noticed

PAGE, MOST = 2, 5


class PagedStore(MemoryStore):
    """A store whose scans have small pages. `scanned` counts the orders of the latest scan that were taken."""

    scanned = 0

    async def scan(
        self, *, after: str = "", until: str = "", documents: bool = False
    ) -> AsyncGenerator[Sequence[ScannedOrder], None]:
        """See CheckedStore."""
        self.scanned = 0
        async for everything in super().scan(after=after, until=until, documents=documents):
            for begin in range(0, len(everything), PAGE):
                page = everything[begin : begin + PAGE]
                self.scanned += len(page)
                yield page


async def test_a_round_against_an_empty_source_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MOST_FINDINGS", MOST)
    model, store = ReadModel(), PagedStore()
    model.store = store
    await model.projected()
    model.source.journals_by_id.clear()
    compared = await model.compare()
    assert (len(compared.findings), compared.complete) == (MOST, False)
    assert {finding.kind for finding in compared.findings} == {Kind.ORDER_UNKNOWN}
    assert store.scanned <= MOST + PAGE < len(model.order_ids)


async def test_pages_of_any_size_give_the_same_findings() -> None:
    model, store = ReadModel(), PagedStore()
    model.store = store
    await model.projected()
    ids = sorted(model.order_ids)
    for lost in (ids[0], ids[1], ids[9], ids[-1]):
        del model.source.journals_by_id[lost]
    for missing in (ids[2], ids[3], ids[10], ids[-2]):
        model.put("orders", missing, lambda document: None)
    found = {finding.order_id: finding.kind for finding in (await model.compare()).findings}
    assert found == {
        **dict.fromkeys((ids[0], ids[1], ids[9], ids[-1]), Kind.ORDER_UNKNOWN),
        **dict.fromkeys((ids[2], ids[3], ids[10], ids[-2]), Kind.DOCUMENT_MISSING),
    }


@pytest.mark.mutant
async def test_a_round_that_reads_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with noticed(Mutant(ReadModelComparison._differing, "len(waiting) >= MOST_FINDINGS", "False")):
        await test_a_round_against_an_empty_source_ends_early(monkeypatch)
