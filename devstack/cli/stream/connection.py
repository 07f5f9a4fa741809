"""Connects a command to NATS: soon, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from devstack.cli.waiting_time import patience_seconds
from service_runtime.nats_servers import nats_login, nats_servers

NATS_ERRORS = (NatsError, OSError, TimeoutError)


async def _ignore(_: Exception) -> None:
    """Ignores errors: they are reported where they occur, and the library would print a traceback a second."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Yields a client, without reconnects, of one of the servers in `url`, separated by commas.

    Raises one of NATS_ERRORS when none answers.
    """
    try:
        servers = nats_servers(url)
    except ValueError as wrong:
        raise ConnectionError(f"its URL {wrong}") from None
    client, patience = Client(), patience_seconds()
    try:
        async with asyncio.timeout(patience):
            await client.connect(
                servers,
                **nats_login(url),
                name="tandem",
                connect_timeout=round(patience) + 1,
                allow_reconnect=False,
                max_reconnect_attempts=0,
                error_cb=_ignore,
            )
        yield client
    finally:
        with suppress(*NATS_ERRORS):
            async with asyncio.timeout(1):
                await client.close()


async def ask_for_life(url: str) -> None:
    """Returns when a server answers; otherwise raises one of NATS_ERRORS."""
    async with connected(url) as client:
        await client.flush(round(patience_seconds()) + 1)
