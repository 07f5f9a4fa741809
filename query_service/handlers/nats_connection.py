"""A connection to NATS that never gives up: it reconnects for ever, and says so instead of filling the log."""

from __future__ import annotations

import asyncio

import structlog
from nats.aio.client import Client
from nats.errors import Error

_log = structlog.get_logger(__name__)
#: What a publish or request may raise while NATS is away.
NATS_ERRORS = (Error, OSError, TimeoutError)
RECONNECT_WAIT_SECONDS = 0.5
#: A connection whose other end is silent is noticed after two of these.
PING_INTERVAL_SECONDS = 5


def problem_of(error: Exception) -> str:
    """What to say of an error; some of the library's have no text."""
    return str(error) or type(error).__name__


async def connect_nats(url: str, name: str) -> Client:
    """Connects, however long that takes."""
    client = Client()

    async def on_error(error: Exception) -> None:
        _log.debug("nats error", error=problem_of(error))

    async def on_disconnect() -> None:
        if not client.is_closed:
            _log.warning("nats connection lost")

    async def on_reconnect() -> None:
        _log.info("nats connection is back")

    try:
        await client.connect(
            url,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]  # slept, so fractions count
            ping_interval=PING_INTERVAL_SECONDS,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
        )
    except asyncio.CancelledError:
        await client.close()
        raise
    return client
