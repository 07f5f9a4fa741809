"""Keeps a connection to NATS open for a block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nats.aio.client import Client

from audit.notary.stream_reader import NATS_ERRORS
from service_runtime.nats_outages import connect


@contextlib.asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[Client]:
    """Yields a connection to one of the servers in `url`, and closes it at the end of the block."""
    client = Client()
    try:
        await connect(client, url, name)
        yield client
    finally:
        with contextlib.suppress(*NATS_ERRORS, asyncio.InvalidStateError):
            await client.close()
