"""`tandem sample`: a made-up shop, placed order by order."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from devstack.cli.calls import AsJson, refused
from devstack.cli.output import print_json

CALLERS = 16


def sample(
    orders: Annotated[int, typer.Option(min=1, help="How many orders.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same orders.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Places realistic orders; the same seed again changes nothing."""
    started = time.monotonic()
    asyncio.run(_place_all(orders, seed, as_json))
    seconds = time.monotonic() - started
    if as_json:
        print_json({"orders": orders, "seed": seed, "seconds": seconds})
    else:
        print(f"{orders} orders placed in {seconds:.1f} s ({orders / seconds:,.0f}/s)")


async def _place_all(orders: int, seed: int, as_json: bool) -> None:
    import grpc

    from devstack.cli.progress import progress_bar
    from devstack.cli.stubs import open_stubs
    from devstack.sample_orders import SampleShop

    requests, placed = SampleShop(orders, seed).requests(), 0
    async with open_stubs() as stubs:
        with progress_bar("sample orders", orders, shown=not as_json) as advance:

            async def caller() -> None:
                nonlocal placed
                for request in requests:
                    await stubs.commands.PlaceOrder(request, timeout=30)
                    placed += 1
                    advance(placed)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(CALLERS):
                        group.create_task(caller())
            except* grpc.aio.AioRpcError as errors:
                first = errors.exceptions[0]
                assert isinstance(first, grpc.aio.AioRpcError)
                refused(first, "command", stubs.address_of("command"), as_json=as_json)
