"""Holds `tandem audit prove` and `tandem audit note`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from devstack.cli.audit.opening import opened, run_or_fail, stack_of_command
from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import number
from devstack.cli.output import fail
from devstack.cli.terminal import say_json, say_whole

if TYPE_CHECKING:
    from audit.proving.bundle import Bundle
    from audit.storage.checkpoints import StoredCheckpoint
    from devstack.stack.topology import Topology

#: The pause between two looks for the checkpoint that covers an order's newest event.
LOOK_SECONDS = 0.5


def prove(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="Id of an order, a UUID.")],
    wait: Annotated[
        float, typer.Option(parser=number(0, 3600), metavar="SECONDS", help="How long to wait for a checkpoint.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="No difference: a bundle is a JSON document.")] = False,
) -> None:
    """Writes a bundle that proves an order's events.

    It has the events as they are stored, proofs, and the signed note. It contains personal data that is not redacted.
    Exit code 0 proved, 1 not in a signed log, 3 something is down.
    """
    try:
        order_id = UUID(order)
    except ValueError:
        fail(f"{order!r} is no UUID; `tandem orders show ORDER` shows the id.", ExitCode.USAGE, as_json=as_json)
    stack = stack_of_command(as_json=as_json)
    say_json(run_or_fail(lambda: _bundle(stack, order_id, wait, as_json=as_json), as_json=as_json).document())


async def _bundle(stack: Topology, order_id: UUID, wait: float, *, as_json: bool) -> Bundle:
    import asyncio

    from audit.proving.prove import NotProved, prove

    deadline = asyncio.get_running_loop().time() + wait
    async with opened(stack) as (log, journal):
        while True:
            try:
                return await prove(log, journal, order_id)
            except NotProved as reason:
                if not reason.later or asyncio.get_running_loop().time() > deadline:
                    fail(f"{reason}.", ExitCode.DEGRADED, as_json=as_json)
            await asyncio.sleep(LOOK_SECONDS)


def note(
    cosigned: Annotated[bool, typer.Option("--cosigned", help="The newest one that the witness signed too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Prints the newest signed note of the log.

    Keep notes outside this system: `tandem audit check --note FILE` compares everything with one later.
    Exit code 0 printed, 1 nothing is signed yet, 3 something is down.
    """
    stack = stack_of_command(as_json=as_json)
    found = run_or_fail(lambda: _newest(stack, cosigned), as_json=as_json)
    if found is None:
        fail("No checkpoint is signed yet.", ExitCode.DEGRADED, as_json=as_json)
    if as_json:
        say_json({"size": found.size, "cosigned": found.cosigned is not None, "note": found.best_note})
    else:
        for line in found.best_note.splitlines():
            say_whole(line)


async def _newest(stack: Topology, cosigned: bool) -> StoredCheckpoint | None:
    from audit.storage import checkpoints

    async with opened(stack, with_journal=False) as (log, _):
        return await checkpoints.newest(log, cosigned=cosigned)
