"""Holds `tandem outbox tail` and `tandem events tail`: shows events as written and as published."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.output import fail
from devstack.cli.stream.silence import NobodyAnswers
from devstack.cli.terminal import when_nobody_reads

if TYPE_CHECKING:
    from devstack.stack.topology import Topology

outbox = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
events = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
AsLines = Annotated[bool, typer.Option("--json", help="One JSON document a line.")]
Last = Annotated[int, typer.Option(parser=whole(0, 100_000), metavar="N", help="How many past events to print first.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Continue until Ctrl-C.")]


@outbox.callback()
def _outbox() -> None:
    """The journal on the write side."""


@events.callback()
def _events() -> None:
    """The stream between the two sides."""


@outbox.command("tail")
def outbox_tail(last: Last = 10, follow: Follow = True, as_json: AsLines = False) -> None:
    """Prints events as the write side records them."""
    from devstack.cli.stream.outbox_tail import tail_outbox

    _run(
        lambda stack, stop: tail_outbox(stack.postgres_url, stop, _printer(as_json), last=last, follow=follow), as_json
    )


@events.command("tail")
def events_tail(last: Last = 10, follow: Follow = True, as_json: AsLines = False) -> None:
    """Prints events as the stream publishes them."""
    from devstack.cli.stream.events_tail import tail_events

    _run(lambda stack, stop: tail_events(stack.nats_url, stop, _printer(as_json), last=last, follow=follow), as_json)


def _run(tail: Callable[[Topology, asyncio.Event], Awaitable[None]], as_json: bool) -> None:
    from devstack.stack.known_stack import NOTHING_RUNS, known_stack

    stack = known_stack()
    if stack is None:
        fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        when_nobody_reads(stop.set)
        await tail(stack, stop)

    try:
        asyncio.run(until_stopped())
    except NobodyAnswers as silence:
        fail(str(silence), ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE")


def _printer(as_json: bool) -> Callable[..., None]:
    """What prints one event: in columns, or as a line of JSON."""
    from devstack.cli.terminal import say_json_line, say_whole

    def row(time: str, position: int, event_type: str, order_id: str, version: int, actor: str) -> None:
        if as_json:
            document: dict[str, Any] = {
                "time": time, "position": position, "event_type": event_type, "order_id": order_id,
                "version": version, "actor": actor,
            }  # fmt: skip
            say_json_line(document)
        else:
            say_whole(f"{time}  {position:>8}  {event_type:<22}  {order_id}  v{version}  {actor}".rstrip())

    return row
