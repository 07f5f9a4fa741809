"""Projectors that are killed while they erase personal data: the next one completes what was begun."""

from __future__ import annotations

import pytest

from query_service.storage.physical.erasing import EntryEraser
from tests.conformance.read_store_suite import check_erased
from tests.conformance.test_physical_redaction import nothing_erased
from tests.support.faults.holding_proxy import HoldingProxy
from tests.support.queries.order_events import PublishedEvent, an_order, published, redaction
from tests.support.queries.projector_checks import floor_reaches
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]
ORDERS, KILLS = 40, 2


async def half_redacted(side: ReadSide, events: list[PublishedEvent]) -> int:
    """Counts the orders whose document is redacted while an entry of theirs is not."""
    stored = await side.store.orders([event.order_id for event in events])
    entries = [(await side.store.entries(event.order_id, [1]))[0] for event in events]
    return sum(
        order.version == 2 and entry is not None and entry["personal"] is not None
        for order, entry in zip(stored, entries, strict=True)
    )


async def erased_in_spite_of_kills(side: ReadSide, elasticsearch_url: str) -> None:
    """Each kill hits a projector that has written redacted documents, and asks for the entries to erase."""
    events = [published(an_order()) for _ in range(ORDERS)]
    async with side.projecting():
        await side.publish(*events)
        await eventually(lambda: floor_reaches(side, ORDERS), "the orders")
    await side.publish(*(redaction(event.order_id, 2) for event in events))
    looks_for_entries = f'{{"docs":[{{"_index":"{side.store.names.entries}'.encode()  # and the generation
    async with HoldingProxy(elasticsearch_url.removeprefix("http://")).running() as proxy:
        assert isinstance(proxy, HoldingProxy)
        for _ in range(KILLS):
            proxy.hold_at(looks_for_entries)
            async with side.process("project", elasticsearch_url=f"http://{proxy.address}") as projector:
                await proxy.held()
                await projector.kill()
            proxy.release()
            assert await half_redacted(side, events) > 0
    async with side.projecting():
        await eventually(lambda: floor_reaches(side, 2 * ORDERS), "the redactions")
    for event in events:
        await check_erased(side.store, event.order_id, [1])


async def test_a_projector_that_is_killed_in_an_erasure_leaves_it_to_the_next(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    await erased_in_spite_of_kills(read_side, elasticsearch_url)


@pytest.mark.mutant
async def test_a_next_projector_that_erases_nothing_is_noticed(
    read_side: ReadSide, elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryEraser, "erase", nothing_erased)
    with pytest.raises(AssertionError, match="still there"):
        await erased_in_spite_of_kills(read_side, elasticsearch_url)
