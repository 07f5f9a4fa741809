"""Holds `tandem sample`: places the orders of a made-up shop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import MOST, whole
from devstack.cli.orders.calls import CALL_SECONDS, AsJson, cancel_by_signals, refused
from devstack.cli.output import fail
from devstack.cli.terminal import complain, say, say_json

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

CALLERS = 16
#: Trailing metadata of an answer that an earlier call with this request id had.
REPLAYED = "tandem-replayed"


@dataclass
class Placed:
    """The progress: orders placed now, and orders that an earlier run with this seed had placed."""

    orders: int
    seed: int
    placed: int = 0
    replayed: int = 0
    seconds: float = 0.0

    def sentence(self) -> str:
        """Returns the progress in one sentence."""
        done = self.placed + self.replayed
        rate = f", {done / self.seconds:,.0f}/s" if self.seconds else ""
        return (
            f"{self.orders} orders: {self.placed} placed, {self.replayed} were there already, "
            f"in {self.seconds:.1f} s{rate}"
        )


def sample(
    orders: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="How many orders.")] = 100,
    seed: Annotated[
        int, typer.Option(parser=whole(-MOST), metavar="N", help="The same seed gives the same orders.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Places realistic orders; the same seed again changes nothing, another seed gives other orders."""
    placed, begun = Placed(orders, seed), time.monotonic()
    interrupted = False
    try:
        asyncio.run(_place_all(placed, as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    except typer.Exit:
        placed.seconds = time.monotonic() - begun
        if not as_json:
            complain(placed.sentence())
        raise
    placed.seconds = time.monotonic() - begun
    if as_json:
        say_json(asdict(placed) | {"interrupted": interrupted})
    else:
        say(f"interrupted; {placed.sentence()}" if interrupted else placed.sentence())
    if interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))


async def _place_all(placed: Placed, as_json: bool) -> None:
    import grpc

    from devstack.cli.patience import NoSignOfLife, answer_while_alive, sign_of
    from devstack.cli.stubs import open_stubs

    cancel_by_signals()
    heard = time.monotonic()

    async with open_stubs() as stubs:

        def hear() -> None:
            nonlocal heard
            heard = time.monotonic()

        try:
            await answer_while_alive(_callers(stubs, placed, hear, as_json), sign_of(stubs, "command"), lambda: heard)
        except NoSignOfLife as silence:
            fail(str(silence), ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE", **asdict(placed))
        except grpc.aio.AioRpcError as error:
            refused(error, "command", stubs.address_of("command"), as_json=as_json)


async def _callers(stubs: Stubs, placed: Placed, hear: Callable[[], None], as_json: bool) -> None:
    """Places all orders, so many at a time; raises the first refusal."""
    from devstack.cli.progress import progress_bar
    from devstack.importers.sample_orders import SampleShop

    requests = SampleShop(placed.orders, placed.seed).requests()
    with progress_bar("sample orders", placed.orders, shown=not as_json) as advance:

        async def caller() -> None:
            for request in requests:
                call = stubs.commands.PlaceOrder(request, timeout=CALL_SECONDS)
                await call
                if (REPLAYED, "true") in tuple(await call.trailing_metadata()):
                    placed.replayed += 1
                else:
                    placed.placed += 1
                hear()
                advance(placed.placed + placed.replayed)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(caller())
        except ExceptionGroup as refusals:
            raise refusals.exceptions[0] from None
