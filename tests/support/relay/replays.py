"""Runs `python -m relay replay` as a process that tests kill, and reads what it has published."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.replaying.replay import Replay, ReplayReport
from relay.replaying.request import ReplayRequest, replay_settings
from tests.support.relay import streams
from tests.support.relay.streams import Stored
from tests.support.relay.world import World

_PROJECT = Path(__file__).parents[3]
_WITH_PRELUDE = "import sys\n{prelude}\nfrom relay.__main__ import main\nsys.exit(main(sys.argv[1:]))"
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a run ended: exit code, its JSON document ({} when it was killed), and what it wrote on standard error."""

    code: int
    document: dict[str, Any]
    errors: str


class ReplayProcess:
    """A replay that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def ended(self) -> Replayed:
        """Waits for the end."""
        out, errors = await asyncio.wait_for(self._process.communicate(), SECONDS)
        assert self._process.returncode is not None
        return Replayed(self._process.returncode, json.loads(out) if out else {}, errors.decode())

    async def kill(self) -> Replayed:
        """Kills it by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self.ended()


@contextlib.asynccontextmanager
async def replaying(world: World, to: str, *words: str, prelude: str = "") -> AsyncIterator[ReplayProcess]:
    """Runs `relay replay --json`; kills it at the end of the block if it still runs. `prelude` is code before it."""
    code = ("-c", _WITH_PRELUDE.format(prelude=prelude)) if prelude else ("-m", "relay")
    given = words if "--from" in words else ("--from", "1", *words)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *code, "replay", "--to", to, "--json", *given,
        cwd=_PROJECT,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONFAULTHANDLER": "1", **world.settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    running = ReplayProcess(process)
    try:
        yield running
    finally:
        if running.runs:
            await running.kill()


async def replay(world: World, to: str, *words: str, prelude: str = "") -> Replayed:
    """Runs `relay replay --json` to its end."""
    async with replaying(world, to, *words, prelude=prelude) as running:
        return await running.ended()


async def replay_here(world: World, to: str, *, stop: asyncio.Event | None = None, **words: Any) -> ReplayReport:
    """Runs a replay in this process; `words` are those of `ReplayRequest.parse`."""
    settings = world.configured()
    given = {"start": "1", "end": None, "filters": (), "rate": None, **words}
    request = ReplayRequest.parse(stream=to, **given)
    running = Replay(settings, replay_settings(settings, to), request, patience_seconds=SECONDS)
    return await running.run(stop or asyncio.Event())


async def has_stored(world: World, to: str, messages: int) -> None:
    """Waits until the replay's stream has so many messages."""
    deadline = time.monotonic() + SECONDS
    while (await streams.state(world.nats_url, to))[0] < messages:
        assert time.monotonic() < deadline, f"{to} has no {messages} messages"
        await asyncio.sleep(0.01)


async def replayed(world: World, to: str) -> list[Stored]:
    """Returns the events in the replay's stream."""
    return [message for message in await streams.read_all(world.nats_url, to) if message.is_event]
