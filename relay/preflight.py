"""Checks database and stream before a deployment, as a relay does before it leads. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from relay.config import RelaySettings
from relay.events.errors import Refused
from relay.leadership_parts import inspect
from relay.outbox.database import connect
from relay.stream.access import nats_options, stream_plan
from relay.stream.jetstream_api import JetStreamApi, StreamApiError
from relay.stream.nats_connection import NATS_ERRORS, NatsConnection
from relay.stream.setup import other_replicas, require_server, require_stream
from relay.wal.slot_watch import missing_limit
from service_runtime.error_text import in_one_line

FIT, UNFIT, DOWN = 0, 2, 3


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of the check: one sentence for each problem, and one for each warning.

    `exit_code` is 0 if database and stream are fit, 2 if one is unfit, 3 if one cannot be reached.
    """

    exit_code: int
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()


async def preflight(settings: RelaySettings) -> Preflight:
    """Checks database and stream. The stream is checked even if the database has a problem."""
    database, stream = await _database(settings), await _stream(settings)
    return Preflight(
        max(database.exit_code, stream.exit_code),
        [*database.problems, *stream.problems],
        [*database.warnings, *stream.warnings],
    )


async def _database(settings: RelaySettings) -> Preflight:
    try:
        async with await connect(settings.database_url, "tandem-relay check") as connection:
            await inspect(settings, connection)
            warning = await missing_limit(connection) if settings.mode != "poll" else None
    except Refused as refusal:
        return Preflight(UNFIT, [str(refusal)])
    except (psycopg.Error, OSError, TimeoutError) as error:
        reason = in_one_line(error)
        return Preflight(DOWN, [f"the database cannot be reached: {reason}; check RELAY_DATABASE_URL"])
    return Preflight(FIT, warnings=[warning] if warning is not None else [])


async def _stream(settings: RelaySettings) -> Preflight:
    plan, connection, warning = stream_plan(settings), None, None
    try:
        connection = await NatsConnection.open(nats_options(settings), "tandem-relay check")
        require_server(connection.server_version)
        info = await JetStreamApi(connection).stream_info(plan.name)
        if info is not None:
            require_stream(plan, info.config)
            warning = other_replicas(plan, info.config)
        elif not plan.create:
            raise Refused(f"stream {plan.name} does not exist: create it, or set RELAY_CREATE_STREAM=true")
    except Refused as refusal:
        return Preflight(UNFIT, [str(refusal)])
    except (*NATS_ERRORS, StreamApiError) as error:
        return Preflight(DOWN, [f"NATS cannot be reached: {in_one_line(error)}; check RELAY_NATS_URL"])
    finally:
        if connection is not None:
            await connection.end()
    return Preflight(FIT, warnings=[warning] if warning is not None else [])
