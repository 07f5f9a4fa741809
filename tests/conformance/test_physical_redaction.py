"""What a redaction must do on Elasticsearch, whatever is under way when it comes."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from query_service.application.ports.read_store import Applied, Refused
from query_service.storage.physical import erasing, writer
from query_service.storage.physical.connection import ElasticsearchConnection
from query_service.storage.physical.erasing import EntryEraser
from query_service.storage.physical.store import PhysicalStore
from tests.conformance.read_store_suite import OpenStore, a_redaction, an_event, check_erased, order_id
from tests.conformance.test_physical_read_store import TestPhysicalStore as ThePhysicalStore
from tests.conformance.test_physical_read_store import installation, store
from tests.support.source_mutants import Mutant, noticed

__all__ = ["installation", "order_id", "store"]


async def nothing_redacted(self: EntryEraser, order_ids: Iterable[str]) -> set[str]:
    """The mutant: an entry that comes late is stored as it is."""
    return set()


async def nothing_erased(self: EntryEraser, entries: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """The mutant: earlier entries are kept."""
    return set()


async def redact_while_a_request_is_under_way(
    installation: OpenStore, order_id: str, patch: pytest.MonkeyPatch
) -> None:
    """The order's document is written before the redaction, and the entry after the redaction has given up waiting."""
    slow, quick = installation(), installation()
    send = writer.BulkWriter._send
    both = [send, send]

    async def in_two_parts(self: writer.BulkWriter, writes: list[Any]) -> float:
        if not both:
            return await send(self, writes)
        both.clear()
        started = time.monotonic()
        await send(self, writes[:1])
        assert await quick.apply([a_redaction(order_id, 2)]) == [Applied()]
        await send(self, writes[1:])
        return time.monotonic() - started

    patch.setattr(writer.BulkWriter, "_send", in_two_parts)
    try:
        assert await slow.apply([an_event(order_id, 1)]) == [Applied()]
        await check_erased(quick, order_id, [1])
    finally:
        await slow.close()
        await quick.close()


async def test_a_request_that_outlasts_the_redaction_brings_nothing_back(
    installation: OpenStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redact_while_a_request_is_under_way(installation, order_id, monkeypatch)


@pytest.mark.mutant
async def test_a_slow_writer_that_does_not_look_is_noticed(
    installation: OpenStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SLOW_SECONDS", float("inf"))
    with pytest.raises(AssertionError, match="still there"):
        await redact_while_a_request_is_under_way(installation, order_id, monkeypatch)


async def redact_between_two_requests(installation: OpenStore, order_id: str, patch: pytest.MonkeyPatch) -> None:
    """A writer whose requests are slow takes two of them. The redaction comes between."""
    slow, quick = installation(), installation()
    assert isinstance(slow, PhysicalStore)
    with patch.context() as at_once:
        at_once.setattr(writer, "SLOW_SECONDS", 0.0)
        assert await slow.apply([an_event(str(uuid.uuid4()), 1)]) == [Applied()]
    send, looked_up = slow._writer._send, list[str]()
    requests = list[int]()

    async def counted(writes: list[Any]) -> float:
        requests.append(len(writes))
        if len(requests) == 2:
            assert await quick.apply([a_redaction(order_id, 2)]) == [Applied()]
        return await send(writes)

    async def redacted(order_ids: Iterable[str]) -> set[str]:
        looked_up.extend(order_ids)
        return await quick_eraser.redacted(looked_up)

    assert isinstance(quick, PhysicalStore)
    quick_eraser, other = quick._writer._eraser, str(uuid.uuid4())
    patch.setattr(slow._writer, "_send", counted)
    patch.setattr(slow._writer._eraser, "redacted", redacted)
    try:
        assert await slow.apply([an_event(order_id, 1), an_event(other, 1)]) == [Applied()] * 2
        await check_erased(quick, order_id, [1])
        assert (requests, looked_up) == ([2, 2], [order_id]), "an order whose document was stored is not looked up"
    finally:
        await slow.close()
        await quick.close()


async def test_a_writer_that_became_slow_writes_entries_first(
    installation: OpenStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redact_between_two_requests(installation, order_id, monkeypatch)


@pytest.mark.mutant
async def test_a_slow_writer_that_writes_documents_first_is_noticed(
    installation: OpenStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_turns = writer._in_turns
    monkeypatch.setattr(writer, "_in_turns", lambda events: reversed(list(in_turns(events))))
    with pytest.raises(AssertionError, match="still there"):
        await redact_between_two_requests(installation, order_id, monkeypatch)


async def a_late_event_beside_a_later_one(store: PhysicalStore, order_id: str, *, slow: bool) -> None:
    """An event from before the redaction comes again, in one batch with one from after it, whose document is stored."""
    assert await store.apply([a_redaction(order_id, 2)]) == [Applied()]
    store._writer._slow = slow
    late, later = an_event(order_id, 1), an_event(order_id, 3, redacted_before=True)
    assert await store.apply([late, later]) == [Applied()] * 2
    await check_erased(store, order_id, [1])


@pytest.mark.parametrize("slow", [False, True])
async def test_a_late_event_beside_a_later_one_brings_nothing_back(
    store: PhysicalStore, order_id: str, slow: bool
) -> None:
    await a_late_event_beside_a_later_one(store, order_id, slow=slow)


@pytest.mark.mutant
@pytest.mark.parametrize("slow", [False, True])
async def test_a_stored_document_that_speaks_for_a_refused_one_is_noticed(
    store: PhysicalStore, order_id: str, slow: bool
) -> None:
    with noticed(Mutant(writer.BulkWriter._write, "stored -= {write.document_id for write in conflicts}", "pass")):
        await a_late_event_beside_a_later_one(store, order_id, slow=slow)


async def test_an_entry_that_comes_while_the_redaction_waits_is_erased(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = an_event(order_id, 1)
    pause, writing = asyncio.sleep, store._writer._send

    async def meanwhile(seconds: float) -> None:
        await writing(store._writer._documents(late, with_order=False))
        await pause(0)

    monkeypatch.setattr(asyncio, "sleep", meanwhile)
    assert await store.apply([a_redaction(order_id, 2)]) == [Applied()]
    monkeypatch.undo()
    await check_erased(store, order_id, [1])


class Killed(BaseException):
    """The process ends here."""


async def test_a_redaction_that_is_cut_off_anywhere_is_completed_when_it_comes_again(
    installation: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ElasticsearchConnection.request
    interrupted, left = 0, 0

    async def dying(self: ElasticsearchConnection, *arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return await request(self, *arguments, **named)

    while True:
        order_id, store = str(uuid.uuid4()), installation()
        redaction = a_redaction(order_id, 3)
        await store.apply([an_event(order_id, 1), an_event(order_id, 2)])
        left = interrupted
        monkeypatch.setattr(ElasticsearchConnection, "request", dying)
        with contextlib.suppress(Killed):
            await store.apply([redaction])
        monkeypatch.undo()
        await store.close()
        if left >= 0:
            break
        interrupted += 1
        store = installation()
        assert await store.apply([redaction]) == [Applied()]
        await check_erased(store, order_id, [1, 2])
        await store.close()
    assert interrupted >= 3, "the document, the look at the entries, their erasure"


async def test_a_late_event_whose_order_does_not_fit_brings_no_personal_entry(
    store: PhysicalStore, order_id: str
) -> None:
    await store.apply([a_redaction(order_id, 2)])
    event = an_event(order_id, 1)
    event.order["order_number"] = "x" * 40_000
    [outcome] = await store.apply([event])
    assert isinstance(outcome, Refused)
    await check_erased(store, order_id, [1])


@pytest.mark.mutant
async def test_an_entry_that_brings_personal_data_back_is_noticed(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryEraser, "redacted", nothing_redacted)
    with pytest.raises(AssertionError, match="still there"):
        await ThePhysicalStore().test_an_entry_that_comes_after_the_redaction_brings_nothing_back(store, order_id)


@pytest.mark.mutant
async def test_earlier_entries_that_are_kept_are_noticed(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryEraser, "erase", nothing_erased)
    with pytest.raises(AssertionError, match="still there"):
        await ThePhysicalStore().test_a_redaction_erases_the_earlier_entries(store, order_id)


@pytest.mark.mutant
async def test_a_salt_that_is_kept_is_noticed(
    store: PhysicalStore, order_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    erased = erasing._erased

    def with_salt(stored: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        version, entry = erased(stored)
        return version, entry if stored["_source"]["personal"] is None else {**entry, "salt": "00"}

    monkeypatch.setattr(erasing, "_erased", with_salt)

    async def once(self: EntryEraser, entries: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        if listed := list(entries):
            await self._erase(listed, set())
        return set()

    monkeypatch.setattr(EntryEraser, "erase", once)
    with pytest.raises(AssertionError, match="still there"):
        await ThePhysicalStore().test_a_redaction_erases_the_earlier_entries(store, order_id)
