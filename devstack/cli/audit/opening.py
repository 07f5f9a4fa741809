"""Opens what the audit commands read: the log's database and the write side's exports; names what does not answer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail
from devstack.cli.waiting_time import patience_seconds
from service_runtime.error_text import in_one_line

if TYPE_CHECKING:
    import psycopg

    from audit.proving.journal import ExportedJournal
    from devstack.stack.topology import Topology

Result = TypeVar("Result")


class Opened(NamedTuple):
    """The log's tables and the journal."""

    log: psycopg.AsyncConnection
    journal: ExportedJournal


def stack_of_command(*, as_json: bool) -> Topology:
    """Returns the stack that the command is about; ends the command if there is none."""
    from devstack.stack.known_stack import NOTHING_RUNS, known_stack

    stack = known_stack()
    if stack is None:
        fail(NOTHING_RUNS, ExitCode.DOWN, as_json=as_json)
    return stack


@asynccontextmanager
async def opened(stack: Topology, *, with_journal: bool = True) -> AsyncIterator[Opened]:
    """Yields the log and the journal of a stack. Raises psycopg.Error, TimeoutError.

    AUDIT_DATABASE_URL names the log's database, if it is not that of the stack.
    """
    import asyncio

    import psycopg

    from audit.proving.journal import ExportedJournal, export_channel

    database = os.environ.get("AUDIT_DATABASE_URL") or stack.postgres_url
    async with asyncio.timeout(patience_seconds()):
        connection = await psycopg.AsyncConnection.connect(database, autocommit=True, application_name="tandem-audit")
    async with connection, export_channel(stack.export) as channel:
        if with_journal:
            try:
                async with asyncio.timeout(patience_seconds()):
                    await channel.channel_ready()
            except TimeoutError:
                fail(f"The exports of the command service do not answer on {stack.export}.", ExitCode.DOWN)
        yield Opened(connection, ExportedJournal(channel))


def run_or_fail(work: Callable[[], Coroutine[Any, Any, Result]], *, as_json: bool) -> Result:
    """Runs `work`. Ends the command, with exit code 3, if a service or store does not answer."""
    import asyncio

    import grpc
    import psycopg

    from audit.storage.tree_nodes import MissingNode

    try:
        return asyncio.run(work())
    except psycopg.errors.UndefinedTable:
        message = "the database has no log: the notary has not been set up (`python -m audit migrate`)"
        fail(message, ExitCode.DOWN, as_json=as_json)
    except (psycopg.Error, TimeoutError) as error:
        fail(f"Postgres does not answer: {in_one_line(error)}.", ExitCode.DOWN, as_json=as_json)
    except grpc.aio.AioRpcError as error:
        fail(f"the export service does not answer: {error.details()}", ExitCode.DOWN, as_json=as_json)
    except MissingNode as missing:
        fail(str(missing), ExitCode.DEGRADED, as_json=as_json)
