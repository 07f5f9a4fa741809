"""Waits for an address that is in use although nobody listens on it.

A port in the system's range for outgoing connections (on Linux from 32768 on) may be the local end of a connection.
Such a port becomes free when the connection ends. A port on which somebody listens does not become free by waiting.
"""

from __future__ import annotations

import asyncio
import errno
import socket

PATIENCE_SECONDS = 10.0
_LOOKED_AT_EVERY_SECONDS = 0.1
_CONNECT_SECONDS = 1.0


async def until_free(host: str, port: int, patience: float = PATIENCE_SECONDS) -> bool:
    """Returns whether `host:port` can be listened on, now or within `patience` seconds.

    Returns False at once if somebody listens there. Returns True for port 0, and also if the check fails for another
    reason, which listening will report.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + patience
    while _is_taken(host, port):
        if clock() >= ends or await _is_listened_on(host, port):
            return False
        await asyncio.sleep(_LOOKED_AT_EVERY_SECONDS)
    return True


def _is_taken(host: str, port: int) -> bool:
    if port == 0:
        return False
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


async def _is_listened_on(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    # If the system chose this same port for our end of the connection, the connection has reached itself.
    reached: bool = writer.get_extra_info("sockname") != writer.get_extra_info("peername")
    writer.close()
    return reached
