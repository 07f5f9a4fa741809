"""Holds `tandem relay`: watch the relays of an outbox, adopt a database, replay it, retry or discard parked events."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.output import fail
from devstack.cli.relay import parked
from devstack.cli.relay.settings import OfEnvironment, relay_settings
from devstack.cli.terminal import say_json, show
from devstack.cli.waiting_time import sign_seconds

if TYPE_CHECKING:
    from devstack.cli.terminal import Picture
    from devstack.stack.relay_status import RelaysStatus

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
application.add_typer(parked.application, name="parked")
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        show_default=False,
        help="A relay's probes; repeat it for each. The local stack's when not given.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document; with --watch one a line.")]
_EXIT_CODES = {"up": ExitCode.OK, "degraded": ExitCode.DEGRADED, "down": ExitCode.DOWN}


@application.callback()
def _relay() -> None:
    """The relay between outbox and stream."""


@application.command("status", help="Who leads, in which mode, how large the lag is, what is wrong.")
def status(
    address: Addresses = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Exit code 0 all well, 1 degraded, 3 no relay answers."""
    from devstack.stack.relay_status import observe_relays
    from service_runtime.config import check_address

    addresses = address or _local_addresses(as_json)
    for one in addresses:
        try:
            check_address(one)
        except ValueError as wrong:
            fail(f"--address {one!r}: {wrong}", ExitCode.USAGE, as_json=as_json)
    if watch:
        seen = asyncio.run(_watch(addresses, as_json))
        raise typer.Exit(int(_EXIT_CODES[seen.state]))
    seen = asyncio.run(observe_relays(addresses))
    if as_json:
        say_json(seen.as_dict())
    else:
        show(_screen(seen))
    raise typer.Exit(int(_EXIT_CODES[seen.state]))


@application.command("adopt")
def adopt(
    force: Annotated[bool, typer.Option("--force", help="Also when nothing shows that the source changed.")] = False,
    of_environment: OfEnvironment = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Adopt a database that was restored, promoted or set back.

    Exit code 0 adopted or nothing to adopt, 1 refused, 3 database or stream out of reach.
    """
    from relay.adoption.command import adopt as run_adoption
    from service_runtime.log import configure_logging

    settings = relay_settings(of_environment, as_json=as_json)
    configure_logging("relay", "WARNING")
    raise typer.Exit(run_adoption(settings, as_json=as_json, force=force, patience_seconds=sign_seconds()))


@application.command("replay")
def replay(
    start: Annotated[str, typer.Option("--from", metavar="START", help="The first position, or a time of recording.")],
    to: Annotated[str, typer.Option("--to", metavar="STREAM", help="The replay's stream, made if it is missing.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="END", show_default=False, help="The last position, or the time to stop before."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FILTER", show_default=False, help="TYPE=type or AGGREGATE=id; repeat it."),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(parser=whole(1), metavar="N", show_default=False, help="Most events in a second.")
    ] = None,
    max_age: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="SECONDS", show_default=False, help="How long a made stream keeps them."),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="BYTES", show_default=False, help="How large a made stream may become."),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="N", show_default=False, help="Servers that keep a made stream."),
    ] = None,
    of_environment: OfEnvironment = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Publish the outbox to a stream of its own, for a new consumer.

    Repeat the command to go on after an end. Exit code 0 the stream has everything, 1 refused or interrupted,
    2 wrong usage, 3 database or stream out of reach.
    """
    from relay.replaying.command import ReplayWords
    from relay.replaying.command import replay as run_replay
    from service_runtime.log import configure_logging

    settings = relay_settings(of_environment, as_json=as_json)
    configure_logging("relay", "WARNING")
    words = ReplayWords(
        start,
        to,
        until=until,
        filters=filters or (),
        rate=rate,
        max_age_seconds=max_age,
        max_bytes=max_bytes,
        replicas=replicas,
    )
    raise typer.Exit(run_replay(settings, words, as_json=as_json, patience_seconds=sign_seconds()))


def _local_addresses(as_json: bool) -> list[str]:
    from devstack.stack.known_stack import NOTHING_RUNS, known_stack

    stack = known_stack()
    if stack is None:
        fail(f"{NOTHING_RUNS} --address HOST:PORT names a single relay.", ExitCode.DOWN, as_json=as_json)
    return [stack.relay_probes]


async def _watch(addresses: list[str], as_json: bool) -> RelaysStatus:
    """Observes the relays every second until a signal arrives; returns the last observation."""
    from devstack.cli.stack.watching import watch_as_lines, watch_on_screen
    from devstack.stack.relay_status import RelaysStatus, observe_relays

    look = partial(observe_relays, addresses)
    if as_json:
        return await watch_as_lines(look, RelaysStatus.as_dict, 1.0)
    return await watch_on_screen(look, _screen, 1.0, whole=sys.stdout.isatty())


def _screen(seen: RelaysStatus) -> Picture:
    from devstack.cli.relay.screen import screen

    return screen(seen)
