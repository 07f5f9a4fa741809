"""What a filling must do on Elasticsearch when an order is redacted between its writes."""

from __future__ import annotations

from typing import Any

import pytest

from query_service.application.ports.read_store import Applied
from query_service.storage.physical import writer
from query_service.storage.physical.store import PhysicalStore
from query_service.storage.physical.writer import BulkWriter
from tests.conformance.read_store_suite import a_redaction, an_event, check_erased, order_id
from tests.conformance.test_physical_read_store import installation, store

__all__ = ["installation", "order_id", "store"]


async def test_a_redaction_between_the_writes_of_a_filling_leaves_no_personal_data(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent, redaction = BulkWriter._send, 0, a_redaction(order_id, 3)

    async def with_a_redaction(self: BulkWriter, writes: list[Any]) -> float:
        nonlocal sent
        sent += 1
        turn = sent
        seconds = await send(self, writes)
        if turn == 1:
            assert await store.apply([redaction]) == [Applied()]
        return seconds

    monkeypatch.setattr(BulkWriter, "_send", with_a_redaction)
    assert await store.fill([[an_event(order_id, 1), an_event(order_id, 2)]]) == [Applied()] * 2
    assert sent > 2
    await check_erased(store, order_id, [1, 2])


@pytest.mark.mutant
async def test_a_filling_that_writes_orders_before_their_entries_is_noticed(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = writer._in_turns
    monkeypatch.setattr(writer, "_in_turns", lambda events: reversed(list(turns(events))))
    with pytest.raises(AssertionError, match="still there"):
        await test_a_redaction_between_the_writes_of_a_filling_leaves_no_personal_data(store, order_id, monkeypatch)
