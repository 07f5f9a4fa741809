"""Writes JSON lines to stderr: time, level, service, event, and the ids of the work. Never payloads, never secrets."""

from __future__ import annotations

import logging
import sys

import structlog

_POOL = "psycopg.pool"
#: What the pool says of each attempt to connect, and of connections that we closed: our own events tell it once.
_OF_OUTAGES = ("error connecting in", "reconnection attempt in pool", "discarding closed connection")


def tells_more_than_an_outage(record: logging.LogRecord) -> bool:
    """Whether a record of the connection pool reports more than an unreachable database."""
    return not str(record.msg).startswith(_OF_OUTAGES)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Sends the records of structlog and the libraries through one JSON formatter. `service` is in every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The clients' own chatter repeats what our events say; while a server is away, thousands of times a minute.
    for name in ("grpc", "alembic", "sqlalchemy", "psycopg"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("elastic_transport", "elasticsearch", "aiohttp", "nats"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger(_POOL).addFilter(tells_more_than_an_outage)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
