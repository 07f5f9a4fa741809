"""An older and a newer release rebuild and project side by side."""

from typing import Any

import grpc
import pytest
from tandem.orders.client import channel_options
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_query_service_pb2_grpc as stubs

from query_service.rebuild_commands import run_rebuild
from query_service.storage.physical.generations import setup
from tests.support.queries.order_events import PublishedEvent
from tests.support.queries.other_release import become_another_release
from tests.support.queries.query_client import token_of
from tests.support.queries.query_serving import serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side
from tests.support.queries.rebuild_actions import done, write_side
from tests.support.queries.write_side import WriteSide

__all__ = ["empty_read_side", "read_side", "write_side"]


@pytest.mark.long
async def test_each_release_feeds_the_generation_that_fits_it(read_side: ReadSide, write_side: WriteSide) -> None:
    other = "tests.support.queries.other_release"
    first = await write_side.change()
    await done(read_side, "start")
    async with write_side.barriers(), read_side.process("project", module=other) as newer:
        # It fits neither generation: both were made by this release.
        assert await newer.ended() == 2
        assert "added_later" in newer.log or "another release" in newer.log
    new = read_side.store_of("g2")
    try:
        await new._connection.request(
            "PUT", f"/{new.names.orders}/_mapping", body={"_meta": {"projections": ["of another release"]}}
        )
        async with write_side.barriers(), read_side.process("project") as own:
            await own.wrote("generation passed over")
            second = await write_side.change()
            await eventually(lambda: read_side.shows([first, second]), "both orders in the old generation")
            assert (await new.orders([second.order_id]))[0].document is None
            refused = await run_rebuild(read_side.settings(), "switch")
            assert refused.exit_code == 1
    finally:
        await new.close()


async def listed_by(stub: Any, event: PublishedEvent) -> tuple[str, int, int]:
    """Returns the generation, version and total with which a list with the event's token shows its order."""
    answer = await stub.SearchOrders(
        contract.SearchOrdersRequest(
            filter=contract.OrderFilter(order_ids=[event.order_id]), read_options=token_of(event)
        ),
        timeout=60,
    )
    [order] = answer.orders
    return answer.read_info.generation, order.version, order.total.units


async def test_an_older_and_a_newer_release_run_side_by_side(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """The newer release has another mapping and another edition. It rebuilds while the older one works."""
    side = read_side

    async def newer(action: str) -> None:
        with monkeypatch.context() as patch:
            become_another_release(patch)
            await done(side, action)

    changed = await write_side.change()
    await newer("start")
    new = side.store_of("g2")
    try:
        found = (await new._connection.request("GET", f"/{new.names.orders}/_mapping"))[1]
        assert "added_later" in found[f"{side.index_prefix}orders-g2"]["mappings"]["properties"]
        async with (
            write_side.barriers(),
            side.process("project") as older_projector,
            side.process("project", module="tests.support.queries.other_release") as newer_projector,
            serving(side, unused_tcp_port),
            grpc.aio.insecure_channel(f"127.0.0.1:{unused_tcp_port}", options=channel_options()) as channel,
        ):
            older = stubs.OrderQueryServiceStub(channel)
            for projector, passed_over in ((older_projector, "g2"), (newer_projector, "g1")):
                await projector.wrote("generation passed over")
                assert f'"generation": "{passed_over}"' in next(
                    line for line in projector.log.splitlines() if "generation passed over" in line
                )
            events = [await write_side.change(changed.order_id), await write_side.change()]
            before = [await listed_by(older, event) for event in events]
            assert [generation for generation, *_ in before] == ["g1", "g1"]
            await newer("verify")
            await newer("switch")
            # The older release encodes the newer one's orders itself, because their parts are of another edition.
            after = [await listed_by(older, event) for event in events]
            assert after == [("g2", version, total) for _, version, total in before]
            late = await write_side.change(changed.order_id)
            assert (await listed_by(older, late))[:2] == ("g2", late.version)
            await newer("rollback")
            assert (await listed_by(older, late))[:2] == ("g1", late.version)
            await newer("switch")
            await newer("finish")
            assert (await listed_by(older, late))[:2] == ("g2", late.version)
    finally:
        await new.close()


@pytest.mark.mutant
async def test_a_projector_that_writes_what_does_not_fit_it_is_noticed(
    read_side: ReadSide, write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the print in the index is not compared. Then a projector of the older release feeds both."""
    await write_side.change()
    with monkeypatch.context() as patch:
        become_another_release(patch)
        await done(read_side, "start")
    monkeypatch.setattr(setup, "PROJECTIONS", "compared by nobody")
    # The field that it does not know is no obstacle to an older release.
    async with write_side.barriers(), read_side.projecting():
        event = await write_side.change()
        new = read_side.store_of("g2")
        try:

            async def written_by_the_older() -> bool:
                return (await new.orders([event.order_id]))[0].version >= event.version

            await eventually(written_by_the_older, "the order in the generation of another release")
        finally:
            await new.close()
