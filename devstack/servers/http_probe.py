"""Sends small HTTP GET requests over loopback, to check whether a server is ready."""

import asyncio
import http.client
import json
from typing import Any

from devstack.servers.ports import HOST


async def get_json(port: int, path: str, timeout: float = 2.0) -> Any | None:
    """Returns the JSON of `path`; None when the server does not listen or the status is not 200."""
    return await asyncio.to_thread(_get, port, path, timeout)


async def get_status(port: int, path: str, timeout: float = 2.0) -> int | None:
    """Returns the HTTP status of `path`; None when nobody listens."""
    return await asyncio.to_thread(_get_status, port, path, timeout)


def _get_status(port: int, path: str, timeout: float) -> int | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _get(port: int, path: str, timeout: float) -> Any | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return json.loads(body) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
