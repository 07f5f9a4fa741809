"""Writes log records as JSON lines to stderr: time, level, service, event, and ids. It logs no payload, no secret."""

from __future__ import annotations

import logging
import sys

import structlog

_POOL = "psycopg.pool"
#: Records of the pool about each attempt to connect, and about connections that we closed. Our own events say it once.
_OF_OUTAGES = ("error connecting in", "reconnection attempt in pool", "discarding closed connection")


def tells_more_than_an_outage(record: logging.LogRecord) -> bool:
    """Returns whether a record of the connection pool is about anything else than an unreachable database."""
    return not str(record.msg).startswith(_OF_OUTAGES)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Formats the records of structlog and of the libraries as JSON, with `service` in each line.

    Records below `level` are left out.
    """
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
    # Records of the client libraries repeat what our events say, thousands of times a minute while a server is away.
    for name in ("grpc", "alembic", "sqlalchemy", "psycopg"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("aiohttp", "nats"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger(_POOL).addFilter(tells_more_than_an_outage)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
