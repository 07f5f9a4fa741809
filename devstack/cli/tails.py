"""`tandem outbox tail` and `tandem events tail`: see the events go by, as written and as published."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from service_runtime.nats_servers import nats_servers

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from devstack.topology import Topology

outbox = typer.Typer(no_args_is_help=True)
events = typer.Typer(no_args_is_help=True)
AsLines = Annotated[bool, typer.Option("--json", help="One JSON document per line.")]
Last = Annotated[int, typer.Option(min=0, help="How many past events to begin with.")]
Follow = Annotated[bool, typer.Option(help="Go on until Ctrl-C.")]
POLL_SECONDS = 0.2
STREAM = "ORDERS"


@outbox.callback()
def _outbox() -> None:
    """The journal on the write side."""


@events.callback()
def _events() -> None:
    """The stream between the two sides."""


@outbox.command("tail")
def outbox_tail(last: Last = 10, follow: Follow = True, as_json: AsLines = False) -> None:
    """Prints events as the write side records them."""
    _run(lambda topology, stop: _tail_outbox(topology, stop, last, follow, as_json), as_json)


@events.command("tail")
def events_tail(last: Last = 10, follow: Follow = True, as_json: AsLines = False) -> None:
    """Prints events as the stream publishes them."""
    _run(lambda topology, stop: _tail_events(topology, stop, last, follow, as_json), as_json)


def _run(tail: Callable[[Topology, asyncio.Event], Awaitable[None]], as_json: bool) -> None:
    from devstack.known_stack import NOTHING_RUNS, known_stack

    stack = known_stack()
    if stack is None:
        fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await tail(stack, stop)

    asyncio.run(until_stopped())


async def _tail_outbox(topology: Topology, stop: asyncio.Event, last: int, follow: bool, as_json: bool) -> None:
    import psycopg

    columns = "position, recorded_at, event_type, aggregate_id, aggregate_version, headers->>'actor'"
    async with await psycopg.AsyncConnection.connect(topology.postgres_url, autocommit=True) as connection:
        newest = await connection.execute(
            f"SELECT {columns} FROM (SELECT * FROM outbox ORDER BY position DESC LIMIT %s) newest ORDER BY position",  # noqa: S608
            [last],
        )
        seen, rows = 0, await newest.fetchall()
        while True:
            for position, recorded_at, event_type, order_id, version, actor in rows:
                seen = max(seen, position)
                _print(recorded_at.isoformat(), position, event_type, str(order_id), version, actor or "", as_json)
            if not follow or stop.is_set():
                return
            await _pause(stop)
            # A look for people: a transaction that commits late is shown late or not at all. The relay misses none.
            rows = await (
                await connection.execute(f"SELECT {columns} FROM outbox WHERE position > %s ORDER BY position", [seen])  # noqa: S608
            ).fetchall()


async def _tail_events(topology: Topology, stop: asyncio.Event, last: int, follow: bool, as_json: bool) -> None:
    import nats
    from nats.errors import TimeoutError as NatsTimeoutError
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

    connection = await nats.connect(nats_servers(topology.nats_url))
    try:
        jetstream = connection.jetstream()
        state = (await jetstream.stream_info(STREAM)).state
        # Barriers stand between the events, at most one a second: enough messages back, the last events are among them.
        first = max(state.first_seq, state.last_seq - last * 20 - 200)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(1, first), ack_policy=AckPolicy.NONE
        )
        subscription = await jetstream.pull_subscribe("", stream=STREAM, config=config)
        past: deque[Msg] = deque(maxlen=last)
        reached = first - 1
        while not stop.is_set() and (follow or reached < state.last_seq):
            try:
                messages = await subscription.fetch(100, timeout=1)
            except NatsTimeoutError:
                messages = []
            for message in messages:
                reached = message.metadata.sequence.stream
                if "ce-id" not in (message.headers or {}):
                    continue
                if reached <= state.last_seq:
                    past.append(message)
                else:
                    _print_past(past, as_json)
                    _print_event(message, as_json)
            if reached >= state.last_seq:
                _print_past(past, as_json)
    finally:
        await connection.close()


def _print_past(past: deque[Msg], as_json: bool) -> None:
    while past:
        _print_event(past.popleft(), as_json)


def _print_event(message: Msg, as_json: bool) -> None:
    headers = message.headers or {}
    _print(
        headers["Tandem-Recorded-At"],
        message.metadata.sequence.stream,
        unquote(headers["ce-type"]),
        unquote(headers["ce-subject"]),
        int(headers["Tandem-Aggregate-Version"]),
        str(json.loads(headers.get("Tandem-Headers", "{}")).get("actor", "")),
        as_json,
    )


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), POLL_SECONDS)
    except TimeoutError:
        return


def _print(time: str, position: int, event_type: str, order_id: str, version: int, actor: str, as_json: bool) -> None:
    if as_json:
        row: dict[str, Any] = {
            "time": time, "position": position, "event_type": event_type, "order_id": order_id, "version": version,
            "actor": actor,
        }  # fmt: skip
        sys.stdout.write(json.dumps(row) + "\n")
    else:
        sys.stdout.write(f"{time}  {position:>8}  {event_type:<22}  {order_id}  v{version}  {actor}\n")
    sys.stdout.flush()
