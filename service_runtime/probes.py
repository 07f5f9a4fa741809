"""Serves /livez, /readyz, /metrics and JSON pages of the process over HTTP.

The server supports only GET, and closes the connection after each answer. Kubelet, Prometheus and `curl` need no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from service_runtime.config import host_and_port
from service_runtime.free_address import until_free
from service_runtime.process import StartupRefused

#: Returns None if all is well, otherwise the reason in one sentence.
Check = Callable[[], str | None]
Page = Callable[[], Mapping[str, Any]]
REQUEST_TIMEOUT_SECONDS = 5.0


class ProbeServer:
    """Serves the probes of one process on `listen` (`HOST:PORT`; with port 0 the system chooses)."""

    def __init__(
        self,
        listen: str,
        *,
        live: Check,
        ready: Check,
        registry: CollectorRegistry,
        pages: Mapping[str, Page] | None = None,
        setting: str = "PROBES_LISTEN",
    ) -> None:
        self._host, self._port = host_and_port(listen)
        self._live, self._ready, self._registry = live, ready, registry
        self._pages = dict(pages or {})
        self._setting = setting
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listens and returns the bound address. Raises StartupRefused, which names the setting, if the port is busy.

        If the port is busy but nobody listens on it, waits for it first.
        """
        await until_free(self._host, self._port)
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port)
        except OSError as error:
            raise StartupRefused(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); set {self._setting} to a free address"
            ) from None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Closes the listening socket."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                request = (await reader.readline()).decode("latin-1").split()
                while (await reader.readline()).strip():
                    pass
                status, kind, body = self._answer(*request[:2]) if len(request) >= 2 else (400, "text/plain", b"")
                writer.write(
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not OK'}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            pass  # a client that went away or does not speak HTTP gets no answer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, method: str, target: str) -> tuple[int, str, bytes]:
        path = target.partition("?")[0]
        if method != "GET":
            return 405, "text/plain", b"only GET\n"
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)  # type: ignore[no-untyped-call]
        if path in ("/livez", "/readyz"):
            reason = (self._live if path == "/livez" else self._ready)()
            return (200, "text/plain", b"ok\n") if reason is None else (503, "text/plain", f"{reason}\n".encode())
        if path in self._pages:
            return 200, "application/json", json.dumps(self._pages[path](), default=str).encode() + b"\n"
        return 404, "text/plain", b"no such page\n"
