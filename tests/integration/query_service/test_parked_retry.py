"""`tandem projection parked` on real servers: a poisoned event among many, healed by a later version or by a retry."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from tandem.orders.errors import OrderParked
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service import bootstrap
from query_service.storage.physical.erasing import EntryEraser
from tests.conformance.read_store_suite import check_erased
from tests.conformance.test_physical_redaction import nothing_erased
from tests.support.queries.order_events import PublishedEvent, an_order, published, redaction
from tests.support.queries.projector_checks import floor_reaches
from tests.support.queries.query_serving import names, options, serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "read_side"]
#: Longer than what Elasticsearch takes as one keyword.
TOO_LONG = {"order.orderNumber": "9" * 40_000}


async def command(side: ReadSide, program: list[str | Path], *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON answer of one command that gets its settings from the environment."""
    process = await asyncio.create_subprocess_exec(
        *program, *arguments, env=side.environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    assert out, err.decode()
    return process.returncode, json.loads(out)


async def parked(side: ReadSide, *arguments: str) -> tuple[int, Any]:
    """`tandem projection parked … --json`."""
    tandem = Path(sys.executable).parent / "tandem"
    return await command(side, [tandem, "projection", "parked"], *arguments, "--json")


async def parked_here(side: ReadSide, action: str, key: str = "") -> tuple[int, Any]:
    """The same in this process, which need not start another one."""
    report = await bootstrap.parked(side.settings(), action, key)
    return report.exit_code, {"error": report.error} if report.error else {"parked": report.entries}


async def map_long_numbers(side: ReadSide, elasticsearch_url: str) -> None:
    """The mending of the mapping: what is too long for a keyword is kept and not indexed."""
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        short = {"type": "keyword", "ignore_above": 1_000}
        properties = {"order_number": short, "lookup_keys": {**short, "doc_values": False}}
        await client.indices.put_mapping(index=side.store.names.orders, properties=properties)


async def one_among(side: ReadSide, elasticsearch_url: str, port: int, count: int) -> None:
    """One event of `count` cannot be mapped: its order says so, the others are untouched, both cures work."""
    sound = [published(an_order()) for _ in range(count - 3)]
    first = published(an_order())
    poison = published(an_order(first.order_id, 2), payload_changes=TOO_LONG)
    other = published(an_order(), payload_changes=TOO_LONG)
    half = len(sound) // 2
    async with side.projecting(), serving(side, port) as server:
        await side.publish(*sound[:half], first, poison, other, *sound[half:])
        await eventually(lambda: floor_reaches(side, count), "everything acknowledged", within=600)
        for start in range(0, len(sound), 500):
            assert await side.shows(sound[start : start + 500])

        # its order says so to a reader at once
        with pytest.raises(OrderParked):
            await server.get(poison.order_id, read_options=options(names(poison), 5))
        stale = await server.get(poison.order_id)
        assert (stale.order.version, stale.read_info.parked) == (1, True)
        assert not (await server.get(sound[0].order_id)).read_info.parked

        code, answer = await parked(side, "list")
        assert (code, {one["key"] for one in answer["parked"]}) == (0, {f"{poison.order_id}/2", f"{other.order_id}/1"})
        code, answer = await parked_here(side, "show", poison.order_id)
        [shown] = answer["parked"]
        assert (shown["reason"], shown["healed"], shown["order_version"]) == ("UNMAPPABLE", False, 1)
        code, answer = await parked_here(side, "retry", poison.order_id)
        assert (code, answer["parked"][0]["outcome"]) == (1, "STILL_PARKED")

        # a later version heals it, and its history keeps a hole
        later = published(an_order(poison.order_id, 3))
        await side.publish(later)
        await eventually(lambda: side.shows([later]), "the later version")
        assert not (await server.get(poison.order_id)).read_info.parked
        code, answer = await parked_here(side, "show", poison.order_id)
        assert answer["parked"][0]["healed"]

        # a retry after the mapping is mended clears it, and wakes whoever waits for it
        await map_long_numbers(side, elasticsearch_url)
        code, answer = await parked(side, "retry", other.order_id)
        assert (code, answer["parked"][0]["outcome"]) == (0, "APPLIED"), answer
        found = await server.get(other.order_id, read_options=options(names(other), 5))
        assert (found.order.version, found.read_info.parked) == (1, False)
        code, answer = await command(side, [sys.executable, "-m", "query_service", "parked"], "retry", poison.order_id)
        assert code == 0
        assert (await side.store.entries(poison.order_id, [2]))[0] is not None
        assert await parked(side, "list") == (0, {"parked": []})
        code, answer = await parked_here(side, "retry", other.order_id)
        assert (code, "nothing of order" in answer["error"]) == (1, True)
        status = await server.stub.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=60)
        assert status.parked_orders == 0


async def test_one_event_that_cannot_be_mapped(
    read_side: ReadSide, elasticsearch_url: str, unused_tcp_port: int
) -> None:
    await one_among(read_side, elasticsearch_url, unused_tcp_port, 200)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_one_among_ten_thousand(read_side: ReadSide, elasticsearch_url: str, unused_tcp_port: int) -> None:
    await one_among(read_side, elasticsearch_url, unused_tcp_port, 10_000)


async def test_what_is_wrong_with_a_command_is_named(read_side: ReadSide, monkeypatch: pytest.MonkeyPatch) -> None:
    event = published(an_order(), payload_changes=TOO_LONG)
    async with read_side.projecting():
        await read_side.publish(event)
        await eventually(lambda: floor_reaches(read_side, 1), "the event parked")
    code, answer = await parked(read_side, "discard", event.order_id)
    assert (code, "--needed-too" in answer["error"]) == (1, True)
    monkeypatch.setattr(bootstrap, "CONNECT_SECONDS", 0.5)
    nowhere = read_side.settings(nats_url="nats://127.0.0.1:1")
    report = await bootstrap.parked(nowhere, "retry", event.order_id)
    assert (report.exit_code, "nats" in report.error) == (3, True)
    code, _ = await parked(read_side, "discard", event.order_id, "--needed-too")
    assert code == 0
    assert await gone(read_side, event)


async def retry_after_the_redaction(side: ReadSide, elasticsearch_url: str) -> None:
    """An event with personal data waits parked while its order is redacted, and is retried afterwards."""
    poison = published(an_order(), payload_changes=TOO_LONG)
    async with side.projecting():
        await side.publish(poison, redaction(poison.order_id, 2))
        await eventually(lambda: floor_reaches(side, 2), "everything acknowledged")
    code, answer = await parked_here(side, "show", poison.order_id)
    assert (code, [one["key"] for one in answer["parked"]]) == (0, [f"{poison.order_id}/1"])
    await map_long_numbers(side, elasticsearch_url)
    code, answer = await parked_here(side, "retry", poison.order_id)
    assert (code, answer["parked"][0]["outcome"]) == (0, "APPLIED"), answer
    await check_erased(side.store, poison.order_id, [1])


async def test_a_retry_brings_nothing_personal_of_a_redacted_order_back(
    read_side: ReadSide, elasticsearch_url: str
) -> None:
    await retry_after_the_redaction(read_side, elasticsearch_url)


@pytest.mark.mutant
async def test_a_retry_after_a_redaction_that_erased_nothing_is_noticed(
    read_side: ReadSide, elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryEraser, "erase", nothing_erased)
    with pytest.raises(AssertionError, match="still there"):
        await retry_after_the_redaction(read_side, elasticsearch_url)


async def gone(side: ReadSide, event: PublishedEvent) -> bool:
    return not (await side.store.orders([event.order_id]))[0].parked_versions
