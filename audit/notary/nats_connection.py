"""Connects to NATS, retries until that succeeds, and logs the start and the end of an outage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nats.aio.client import Client

from audit.notary.stream_reader import NATS_ERRORS
from service_runtime.error_text import in_one_line
from service_runtime.nats_servers import nats_login, nats_servers
from service_runtime.outage_log import OutageLog

RECONNECT_WAIT_SECONDS = 0.5
PING_INTERVAL_SECONDS = 5


@contextlib.asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[Client]:
    """Yields a connection to one of the servers in `url`, and closes it at the end of the block."""
    client, outages = Client(), OutageLog("nats unavailable", "nats available")

    async def on_error(error: Exception) -> None:
        if not client.is_connected:
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
        outages.works()
        yield client
    finally:
        with contextlib.suppress(*NATS_ERRORS, asyncio.InvalidStateError):
            await client.close()
