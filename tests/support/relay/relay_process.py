"""Runs `python -m relay` as a process that tests stop, kill and freeze."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: Seconds, enough for an overloaded machine.
READY_SECONDS = 120.0
_PROJECT = Path(__file__).parents[3]


#: Runs a prelude, such as one that switches a guard off, and then the relay as `python -m relay` does.
_WITH_PRELUDE = "import sys\n{prelude}\nfrom relay.__main__ import main\nsys.exit(main([]))"


class RelayProcess:
    """A relay. `settings` are RELAY_ variables that override the usual ones; `prelude` is code that runs before it."""

    def __init__(self, settings: Mapping[str, str], prelude: str = "") -> None:
        self._prelude = prelude
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "RELAY_PROBES_LISTEN": "127.0.0.1:0",
            "PYTHONFAULTHANDLER": "1",
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.log: list[str] = []
        self.address = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        assert self._process is not None
        return self._process.returncode

    async def start(self) -> None:
        """Starts the process and waits until it listens, or has ended."""
        code = ("-c", _WITH_PRELUDE.format(prelude=self._prelude)) if self._prelude else ("-m", "relay")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *code, cwd=_PROJECT, env=self._environment, stderr=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read_log(self._process))
        deadline = time.monotonic() + READY_SECONDS
        while not self.address and self._process.returncode is None and not self._reader.done():
            assert time.monotonic() < deadline, self.text
            await asyncio.sleep(0.01)

    @property
    def text(self) -> str:
        """The log that the process wrote."""
        return "".join(self.log)

    async def page(self) -> dict[str, Any]:
        """Returns the JSON page /lagz."""
        return dict(json.loads(await self.get("/lagz")))

    async def get(self, path: str) -> str:
        """Returns the body of a page of the probe server."""
        parts = urlsplit(f"http://{self.address}")
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
        return answer.partition(b"\r\n\r\n")[2].decode()

    async def wait_for_state(self, state: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Waits until /lagz shows `state`; returns the page."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.returncode is None, self.text
            page = await self.page()
            if page["state"] == state:
                return page
            assert time.monotonic() < deadline, f"{page}\n{self.text}"
            await asyncio.sleep(0.02)

    async def stored(self, messages: int, seconds: float = READY_SECONDS) -> int:
        """Waits until the stream has acknowledged `messages` more messages; returns its last sequence."""
        deadline = time.monotonic() + seconds
        wanted: int | None = None
        while True:
            assert self.returncode is None, self.text
            page = await self.page()
            sequence = int(page["stream_sequence"] or 0)
            wanted = sequence + messages if wanted is None else wanted
            if sequence >= wanted:
                return sequence
            assert time.monotonic() < deadline, f"{wanted} wanted, {page}\n{self.text}"
            await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Kills it by SIGKILL."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self, seconds: float = READY_SECONDS) -> int:
        """Waits for the end; returns the exit code."""
        assert self._process is not None
        assert self._reader is not None
        code = await asyncio.wait_for(self._process.wait(), seconds)
        await self._reader
        return code

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self.log.append(line.decode())
            if not self.address and '"listening"' in self.log[-1]:
                self.address = json.loads(line)["address"]


@asynccontextmanager
async def running(relay: RelayProcess) -> AsyncIterator[RelayProcess]:
    """Starts the relay; kills it at the end of the block if it still runs."""
    await relay.start()
    try:
        yield relay
    finally:
        if relay.returncode is None:
            await relay.kill()
