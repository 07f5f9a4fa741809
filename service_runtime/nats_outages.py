"""Connects to NATS and reconnects for ever. The log reports the start and the end of an outage, not each attempt."""

from __future__ import annotations

import asyncio

import structlog
from nats.aio.client import Client

from service_runtime.error_text import in_one_line
from service_runtime.nats_servers import nats_login, nats_servers
from service_runtime.outage_log import OutageLog

_log = structlog.get_logger(__name__)
RECONNECT_WAIT_SECONDS = 0.5
#: The seconds between pings. After two pings without an answer the connection counts as lost.
PING_INTERVAL_SECONDS = 5


async def connect(client: Client, url: str, name: str) -> None:
    """Connects a client to one of the servers in `url` (separated by commas). Retries until that succeeds."""
    outages = OutageLog("nats unavailable", "nats available")

    async def on_error(error: Exception) -> None:
        if client.is_connected:
            _log.debug("nats error", error=in_one_line(error))
        else:  # reported for every attempt to connect
            outages.failed(in_one_line(error))

    async def on_disconnect() -> None:
        if not client.is_closed:
            outages.failed("the connection is lost")

    async def on_reconnect() -> None:
        outages.works()

    try:
        await client.connect(
            nats_servers(url),
            **nats_login(url),
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]  # passed to sleep, so fractions work
            ping_interval=PING_INTERVAL_SECONDS,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
        )
    except asyncio.CancelledError:
        await client.close()
        raise
    outages.works()
