"""Holds `tandem audit verify`: compares every copy of an order, or of all, with every other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple
from uuid import UUID

import typer

from devstack.cli.audit.checking import key_of, known_witness, tell
from devstack.cli.audit.keys import stack_keys
from devstack.cli.audit.opening import run_or_fail, stack_of_command
from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.waiting_time import patience_seconds
from service_runtime.error_text import in_one_line

if TYPE_CHECKING:
    import psycopg

    from audit.notary.stream_reader import StreamReader
    from audit.notes.keys import VerificationKey
    from audit.proving.findings import Report
    from audit.verifying.sources import Sources
    from devstack.stack.topology import Topology


def verify(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="Id of an order, a UUID.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All orders.")] = False,
    stream: Annotated[
        str, typer.Option(metavar="STREAM", envvar="RELAY_STREAM", help="Name of the stream.")
    ] = "ORDERS",
    key: Annotated[str, typer.Option(metavar="KEY", help="The log's key, or its file; else the local stack's.")] = "",
    witness_key: Annotated[str, typer.Option(metavar="KEY", help="The witness's key, or its file.")] = "",
    witness: Annotated[
        str, typer.Option(metavar="WHERE", help="Directory or URL of the witness; else the local stack's.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compares all copies of an order, or of all orders.

    Copies are in journal, state tables, stream, read model and audit log. The
    hash chain is computed anew from the journal's text. With --all the log's
    leaves, nodes and signed checkpoints are compared too, and what the witness
    remembers.
    Exit code 0 nothing differs, 1 something does, 2 wrong usage, 3 something is down.
    """
    from audit.proving.findings import Report

    if bool(order) == every:
        fail("Give an ORDER, or --all.", ExitCode.USAGE, as_json=as_json)
    try:
        order_id = None if every else UUID(order)
    except ValueError:
        fail(f"{order!r} is no UUID; `tandem orders get NUMBER` shows the id.", ExitCode.USAGE, as_json=as_json)
    stack, report = stack_of_command(as_json=as_json), Report()
    signers = _signers(stack, key, witness_key, witness, as_json=as_json)
    run_or_fail(lambda: _verify(stack, order_id, stream, signers, report, as_json=as_json), as_json=as_json)
    tell(report, as_json=as_json)


class Signers(NamedTuple):
    """Whose signatures are compared, and where the witness is. None or empty if it is not known."""

    log_key: VerificationKey | None
    witness_key: VerificationKey | None
    witness: str


def _signers(stack: Topology, key: str, witness_key: str, witness: str, *, as_json: bool) -> Signers:
    from audit.notes.keys import Kind

    local = stack_keys(stack)
    key, witness_key = key or local.log, witness_key or local.witness
    return Signers(
        key_of("--key", key, Kind.NOTE, as_json=as_json) if key else None,
        key_of("--witness-key", witness_key, Kind.COSIGNATURE, as_json=as_json) if witness_key else None,
        witness or (f"http://{stack.witness}" if local.witness else ""),
    )


async def _verify(
    stack: Topology, order_id: UUID | None, stream: str, signers: Signers, report: Report, *, as_json: bool
) -> None:
    from audit.notary.stream_reader import NATS_ERRORS, StreamMissing
    from audit.verifying.sources import ReadModelSilent
    from audit.verifying.stream_copies import compare_stream
    from audit.verifying.verify import verify_orders
    from devstack.cli.progress import progress_bar

    async with AsyncExitStack() as entered:
        sources, log = await entered.enter_async_context(_sources(stack, report, as_json=as_json))
        shown = order_id is None and not as_json
        total = await sources.number_of_orders() if shown else None
        try:
            with progress_bar("orders", total, shown=shown) as advance:
                orders = await verify_orders(sources, report, [] if order_id is None else [order_id], advance)
        except ReadModelSilent as silent:
            fail(f"The query service does not answer: {silent}.", ExitCode.DOWN, as_json=as_json)
        report.checked.append(f"{orders} orders with {report.counts.get('events', 0)} events in the journal")
        report.remarks += [f"{name}: {count}" for name, count in report.counts.items() if name != "events"]
        if order_id is None and log is not None:
            with progress_bar("leaves", None, shown=shown) as advance:
                await _check_log(log, signers, report, advance)
        try:
            reader = await entered.enter_async_context(_stream(stack, stream, order_id))
            with progress_bar("messages", None, shown=shown) as advance:
                messages = await compare_stream(reader, sources, report, order_id=order_id, advance=advance)
        except StreamMissing as missing:
            fail(f"{missing}.", ExitCode.DOWN, as_json=as_json)
        except NATS_ERRORS as error:
            fail(f"NATS does not answer: {in_one_line(error)}.", ExitCode.DOWN, as_json=as_json)
        report.checked.append(f"{messages} messages that the stream still has")


async def _check_log(
    log: psycopg.AsyncConnection, signers: Signers, report: Report, advance: Callable[[int], None]
) -> None:
    from audit.verifying.log_check import LogCheck

    async with AsyncExitStack() as entered:
        witness = await known_witness(signers.witness, entered) if signers.witness else None
        await LogCheck(
            log, report, log_key=signers.log_key, witness_key=signers.witness_key, witness=witness, advance=advance
        ).run()


@asynccontextmanager
async def _sources(
    stack: Topology, report: Report, *, as_json: bool
) -> AsyncIterator[tuple[Sources, psycopg.AsyncConnection | None]]:
    """Yields the copies but the stream's, and the log's database. Without an audit log a remark says so."""
    import asyncio

    import grpc

    from audit.proving.journal import export_channel
    from audit.verifying.sources import Sources

    async with AsyncExitStack() as entered:
        exports = await entered.enter_async_context(export_channel(stack.export))
        queries = await entered.enter_async_context(grpc.aio.insecure_channel(stack.query))
        for name, address, channel in (
            ("The exports of the command service do", stack.export, exports),
            ("The query service does", stack.query, queries),
        ):
            try:
                async with asyncio.timeout(patience_seconds()):
                    await channel.channel_ready()
            except TimeoutError:
                fail(f"{name} not answer on {address}.", ExitCode.DOWN, as_json=as_json)
        log = await _log(stack, entered)
        if log is None:
            report.remarks.append("there is no audit log that answers, so it was not compared")
        yield Sources(exports, queries, log), log


async def _log(stack: Topology, entered: AsyncExitStack) -> psycopg.AsyncConnection | None:
    """Returns a connection to the database that has the log's tables; None if there is none."""
    import asyncio

    import psycopg

    url = os.environ.get("AUDIT_DATABASE_URL") or stack.postgres_url
    try:
        async with asyncio.timeout(patience_seconds()):
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="tandem-audit")
            await entered.enter_async_context(connection)
            await connection.execute("SELECT 1 FROM audit_leaf LIMIT 1")
    except (psycopg.Error, TimeoutError):
        return None
    return connection


@asynccontextmanager
async def _stream(stack: Topology, stream: str, order_id: UUID | None) -> AsyncIterator[StreamReader]:
    """Yields a reader of the stream, or of the one order's partition. Raises NATS_ERRORS."""
    from tandem.orders.partition import partition_of

    from audit.notary.stream_reader import StreamReader
    from devstack.cli.stream.connection import connected
    from devstack.cli.stream.events_tail import event_subjects
    from relay.config import RelaySettings

    template = os.environ.get("RELAY_SUBJECT_TEMPLATE") or RelaySettings.model_fields["subject_template"].default
    partition = "{partition}" if order_id is None else str(partition_of(str(order_id)))
    async with connected(stack.nats_url) as client:
        yield StreamReader(client, stream, event_subjects(template.replace("{partition}", partition)))
