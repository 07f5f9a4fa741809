"""A rebuild on real servers, under writes, with readers who must notice nothing but better freshness."""

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import Any

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from query_service.application.ports.errors import ReadStoreNotReady
from query_service.application.ports.generations import Phase, Rebuild, StoredRebuild
from query_service.application.ports.order_source import OrderSource
from query_service.application.rebuilding import leases, rebuilds
from query_service.rebuild_commands import run_rebuild
from query_service.storage.physical.generations.lifecycle import IndexGenerations
from query_service.wire.rebuild_fields import progress_line
from tests.support.queries.other_release import become_another_release
from tests.support.queries.projector_checks import fill_disk
from tests.support.queries.query_client import token_of
from tests.support.queries.query_serving import serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side
from tests.support.queries.rebuild_actions import done, has_workers, write_side
from tests.support.queries.write_side import WriteSide
from tests.support.source_mutants import Mutant, noticed

__all__ = ["empty_read_side", "read_side", "write_side"]


class Readers:
    """Reads all the time by id and in lists, with tokens, and remembers every answer that was wrong."""

    def __init__(self, stub: Any, written: WriteSide) -> None:
        self._stub, self._written = stub, written
        self.answers: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    async def write_and_read(self) -> None:
        """Commits a change, and reads it by id and in a list with its token, again and again."""
        chance = random.Random(7)
        while True:
            known = sorted(self._written.journal)
            event = await self._written.change(chance.choice([*known[:20], ""]))
            options = token_of(event)
            begun = time.time()
            found = await self._stub.GetOrder(
                contract.GetOrderRequest(order_id=event.order_id, read_options=options), timeout=60
            )
            assert found.order.version >= event.version
            self._check(found.read_info, begun)
            listed = await self._stub.SearchOrders(
                contract.SearchOrdersRequest(
                    filter=contract.OrderFilter(order_ids=[event.order_id]), read_options=options
                ),
                timeout=60,
            )
            assert [order.version for order in listed.orders] >= [event.version]
            self._check(listed.read_info, begun)

    def _check(self, info: contract.ReadInfo, begun: float) -> None:
        assert not info.stale
        assert info.generation in ("g1", "g2")
        self.answers[info.generation] = self.answers.get(info.generation, 0) + 1
        assert info.as_of.ToNanoseconds() / 1e9 <= time.time()


@pytest.mark.parametrize("orders", [150, pytest.param(20_000, marks=pytest.mark.long)])
async def test_readers_notice_nothing_of_a_rebuild_a_switch_and_a_rollback(
    read_side: ReadSide, write_side: WriteSide, unused_tcp_port: int, orders: int
) -> None:
    side = read_side
    for _ in range(orders):
        await write_side.change()
    async with (
        write_side.barriers(),
        side.projecting(),
        serving(side, unused_tcp_port),
        grpc.aio.insecure_channel(f"127.0.0.1:{unused_tcp_port}", options=channel_options()) as channel,
    ):
        readers = Readers(stubs.OrderQueryServiceStub(channel), write_side)
        reading = asyncio.create_task(readers.write_and_read())

        async def read_from(generation: str) -> None:
            before = readers.answers.get(generation, 0)

            async def answered() -> bool:
                if reading.done():
                    reading.result()
                return readers.answers.get(generation, 0) >= before + 10

            await eventually(answered, f"answers of {generation}")

        try:
            await read_from("g1")
            report = await done(side, "start", workers=3)
            assert report.rebuild is not None
            assert report.rebuild["phase"] == "CATCHING_UP"
            assert orders <= report.rebuild["filled_orders"] <= len(write_side.journal)
            refused = await run_rebuild(side.settings(), "switch")
            assert (refused.exit_code, "not verified" in refused.error) == (1, True)
            report = await done(side, "verify")
            assert report.rebuild is not None
            assert report.rebuild["phase"] == "VERIFIED"
            await done(side, "switch")
            await read_from("g2")
            await done(side, "rollback")
            await read_from("g1")
            assert "rebuild switch" in (await run_rebuild(side.settings(), "finish")).error
            await done(side, "switch")
            await read_from("g2")
            await done(side, "finish")
            await read_from("g2")
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        status = await stubs.OrderQueryServiceStub(channel).GetReadModelStatus(
            contract.GetReadModelStatusRequest(), timeout=60
        )
        assert status.generation == "g2"
        assert status.rebuild.phase == contract.REBUILD_PHASE_FINISHED
        assert status.rebuild.filled_orders == report.rebuild["filled_orders"]


async def test_a_filling_that_dies_goes_on_and_misses_nothing(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE", 6_000_000)
    for _ in range(40):
        await write_side.change()
    changed = sorted(write_side.journal)
    write_side.gate.clear()
    filling = asyncio.create_task(run_rebuild(read_side.settings(), "start", workers=2))
    await eventually(lambda: has_workers(read_side), "workers with a lease")
    refused = await run_rebuild(read_side.settings(), "start")
    assert (refused.exit_code, "--join" in refused.error) == (1, True)
    filling.cancel()  # no report follows, as after a kill
    await asyncio.gather(filling, return_exceptions=True)
    async with write_side.barriers():
        async with read_side.process("project") as projector:
            await projector.wrote('"generation": "g2"')
            await write_side.change(changed[0])
            await projector.kill()
        write_side.gate.set()
        await write_side.change(changed[1])
        write_side.cut_after = write_side.pages + 5
        cut = asyncio.create_task(run_rebuild(read_side.settings(), "start", join=True, workers=2))

        async def told() -> bool:
            status = (await run_rebuild(read_side.settings(), "status")).rebuild
            return status is not None and "export was cut" in status["problem"]

        await eventually(told, "the cut export in the status")
        write_side.cut_after = None
        report = await cut
        assert (report.exit_code, report.error) == (0, "")
        late = await run_rebuild(read_side.settings(), "start")
        assert (late.exit_code, "not over" in late.error) == (1, True)
        async with read_side.projecting():
            report = await done(read_side, "verify")
            assert report.rebuild is not None
            assert report.rebuild["compared_orders"] == len(write_side.journal)
            await done(read_side, "cancel")
    assert (await run_rebuild(read_side.settings(), "status")).rebuild is not None
    await done(read_side, "cancel")


@pytest.mark.long
@pytest.mark.parametrize("projecting", [False, True])
async def test_without_barriers_the_new_generation_is_not_verified(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch, projecting: bool
) -> None:
    """The relay is dead, and so is the projector or not."""
    monkeypatch.setattr(rebuilds, "CATCH_UP_SECONDS", 0.3)
    await write_side.change()
    await done(read_side, "start")
    async with read_side.projecting() if projecting else contextlib.nullcontext():
        late = await run_rebuild(read_side.settings(), "verify")
    assert late.exit_code == 1
    assert "is the relay publishing (`tandem relay status`), and is a projector running?" in late.error


async def test_of_two_rebuilds_that_start_at_the_same_moment_one_begins(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_side.change()
    save, both = IndexGenerations.save, asyncio.Barrier(2)

    async def at_the_same_moment(self: IndexGenerations, rebuild: Rebuild, stored: StoredRebuild) -> bool:
        if rebuild.phase is Phase.PREPARED:
            await both.wait()  # neither has seen that the other one begins
        return await save(self, rebuild, stored)

    monkeypatch.setattr(IndexGenerations, "save", at_the_same_moment)
    reports = await asyncio.gather(*(run_rebuild(read_side.settings(), "start") for _ in range(2)))
    begun, refused = sorted(reports, key=lambda report: report.exit_code)
    assert (begun.exit_code, begun.error, refused.exit_code) == (0, "", 1)
    assert "another rebuild was started at the same moment" in refused.error
    assert begun.rebuild is not None
    assert (begun.rebuild["phase"], begun.rebuild["filled_orders"]) == ("CATCHING_UP", 1)
    status = (await run_rebuild(read_side.settings(), "status")).rebuild
    assert status is not None
    assert status["rebuild_id"] == begun.rebuild["rebuild_id"]


@pytest.mark.long
async def test_a_full_disk_is_named(read_side: ReadSide, write_side: WriteSide, elasticsearch_url: str) -> None:
    """All indices are blocked, also that of the rebuild's state. So workers cannot store why they pause."""
    await write_side.change()
    write_side.gate.clear()
    settings, told = read_side.settings(), list[str]()
    filling = asyncio.create_task(
        run_rebuild(settings, "start", on_progress=lambda status: told.append(progress_line(status)))
    )
    await eventually(lambda: has_workers(read_side), "workers")

    async def is_told() -> bool:
        await fill_disk(elasticsearch_url, read_side.index_prefix)
        status = (await run_rebuild(settings, "status")).rebuild
        named = status is not None and "because its disk is full" in status["problem"]
        return named and any("paused: elasticsearch: " in line and "disk usage exceeded" in line for line in told)

    async def is_refused(action: str) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebuilds, "CATCH_UP_SECONDS", 0.1)
            await fill_disk(elasticsearch_url, read_side.index_prefix)
            refused = await run_rebuild(settings, action)
            await fill_disk(elasticsearch_url, read_side.index_prefix, full=False)
        return refused.exit_code != 0 and "disk" in refused.error

    await eventually(is_told, "the full disk, in the status and by the filling")
    assert not filling.done()
    await fill_disk(elasticsearch_url, read_side.index_prefix, full=False)
    write_side.gate.set()
    report = await filling
    assert report.rebuild is not None
    assert (report.exit_code, report.rebuild["problem"], report.rebuild["filled_orders"]) == (0, "", 1)
    await eventually(lambda: is_refused("verify"), "the full disk, by `verify`")
    async with write_side.barriers(), read_side.projecting():
        await done(read_side, "verify")
    await eventually(lambda: is_refused("switch"), "the full disk, by `switch`")
    await eventually(lambda: is_refused("cancel"), "the full disk, by `cancel`")
    status = (await run_rebuild(settings, "status")).rebuild
    assert status is not None
    assert (status["phase"], status["serving"]) == ("VERIFIED", "g1")


async def test_an_order_that_is_missing_or_altered_is_named_and_nothing_is_switched(
    read_side: ReadSide, write_side: WriteSide
) -> None:
    for _ in range(3):
        await write_side.change()
    await done(read_side, "start")
    new = read_side.store_of("g2")
    lost = sorted(write_side.journal)[0]
    await new._connection.request("DELETE", f"/{new.names.orders}/_doc/{lost}")
    await new.close()
    async with write_side.barriers(), read_side.projecting():
        report = await run_rebuild(read_side.settings(), "verify")
        assert (report.exit_code, lost in report.error) == (1, True)
        assert "not verified" in (await run_rebuild(read_side.settings(), "switch")).error


async def test_readers_always_have_a_generation_when_one_is_deleted(read_side: ReadSide) -> None:
    store = read_side.store_of("")
    generations = store.generations
    try:
        await generations.create("g2")
        await generations.serve("g2", instead_of="g1")
        await generations.serve("g1", instead_of="g2")  # a rollback at the moment when the old one is deleted
        await generations.delete("g1", kept="g2")
        assert await generations.serving() == "g2"
        await generations.delete("g1", kept="g2")
        for generation, instead_of in (("g1", "g2"), ("g2", "g1")):
            with pytest.raises(ReadStoreNotReady, match=f"{generation} cannot answer readers instead of {instead_of}"):
                await generations.serve(generation, instead_of=instead_of)
        with pytest.raises(ReadStoreNotReady, match="g2 cannot be deleted, because g1 is not complete"):
            await generations.delete("g2", kept="g1")
        assert await generations.serving() == "g2"
    finally:
        await store.close()


async def test_another_release_does_not_go_on_with_a_filling(read_side: ReadSide, write_side: WriteSide) -> None:
    await write_side.change()
    write_side.gate.clear()
    with pytest.MonkeyPatch.context() as patch:
        become_another_release(patch)
        filling = asyncio.create_task(run_rebuild(read_side.settings(), "start"))
        await eventually(lambda: has_workers(read_side), "the filling of the newer release")
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
    write_side.gate.set()
    refused = await run_rebuild(read_side.settings(), "start", join=True)
    assert (refused.exit_code, "use the release that began the rebuild" in refused.error) == (1, True)


@pytest.mark.mutant
async def test_an_alias_that_goes_with_its_index_is_noticed(read_side: ReadSide) -> None:
    add = 'actions.append({"add": {"index": self._names.index(alias, kept), "alias": alias}})'
    with noticed(Mutant(IndexGenerations._deletions, add, "pass"), or_raises=(ReadStoreNotReady,)):
        await test_readers_always_have_a_generation_when_one_is_deleted(read_side)


@pytest.mark.mutant
async def test_a_tail_that_begins_after_the_exports_is_noticed(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the end of the stream is noted only after the first export page."""
    await write_side.change()
    begin = rebuilds.Rebuilds._begin

    async def late(self: rebuilds.Rebuilds, rebuild: Rebuild, source: OrderSource) -> Rebuild:
        event = await write_side.change()
        write_side.hidden.add(event.order_id)  # the page was read before this change
        end = await self._tails.end()
        return await begin(self, replace(rebuild, tail_sequence=end.sequence), source)

    monkeypatch.setattr(rebuilds.Rebuilds, "_begin", late)
    await done(read_side, "start")
    [missed] = write_side.hidden
    write_side.hidden.clear()
    async with write_side.barriers(), read_side.projecting():
        report = await run_rebuild(read_side.settings(), "verify")
        assert (report.exit_code, missed in report.error) == (1, True)


@pytest.mark.mutant
async def test_a_switch_without_a_verification_is_noticed(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: every action is allowed. Then readers get a generation that lacks an order."""
    event = await write_side.change()
    write_side.hidden.add(event.order_id)
    monkeypatch.setattr(rebuilds, "check", lambda rebuild, serving, action: None)
    async with write_side.barriers(), read_side.projecting():
        await eventually(lambda: read_side.shows([event]), "the order")
        await done(read_side, "start")
        await done(read_side, "switch")
        assert not await read_side.shows([event])
